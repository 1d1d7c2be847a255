"""The network: late, lossy, doubling, reordering, cut in one direction or both.

It promises nothing but that a datagram is either delivered whole or not at all. With ``wire`` every
datagram is encoded by its sender's codec and decoded by its receiver's; otherwise values travel.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from followtheleader.core.messages import Header, Message
from followtheleader.core.types import MS, Address, Span

Datagram = bytes | tuple[Header, Message]
Deliver = Callable[[int, Address, Datagram], None]
"""(receiver's index, sender's address, datagram)"""
Later = Callable[[int, Callable[[], None]], None]
"""(true span, what to do then)"""


@dataclass(slots=True)
class Weather:
    """How bad the network is; probabilities from 0 to 1, spans of true time.

    ``tail``: the share of datagrams whose delay is drawn from a heavy tail of up to ``worst``.
    ``slow``: the same share for single kinds of message, to hold back what matters.
    """

    fastest: Span = MS // 5
    usual: Span = 3 * MS
    loss: float = 0.0
    doubled: float = 0.0
    tail: float = 0.0
    worst: Span = 20 * MS
    slow: dict[type, float] = field(default_factory=dict)


class Network:
    """Carries datagrams between hosts that are known by index and address."""

    def __init__(
        self, rng: random.Random, later: Later, deliver: Deliver, addresses: list[Address]
    ) -> None:
        self._rng = rng
        self._later = later
        self._deliver = deliver
        self._addresses = addresses
        self._index = {address: i for i, address in enumerate(addresses)}
        self.weather = Weather()
        self.cuts: dict[tuple[int, int], int] = {}
        """(from, to): how many faults cut this direction now."""
        self.counts: Counter[str] = Counter()

    def cut(self, sender: int, receiver: int) -> None:
        """Cut one direction; cuts add up, each is mended by one `mend`."""
        self.cuts[sender, receiver] = self.cuts.get((sender, receiver), 0) + 1

    def mend(self, sender: int, receiver: int) -> None:
        """Take one cut of this direction back."""
        left = self.cuts.pop((sender, receiver), 0) - 1
        if left > 0:
            self.cuts[sender, receiver] = left

    def send(self, sender: int, to: Address, kind: type, datagram: Datagram) -> None:
        """Send; what becomes of it is the weather's business."""
        receiver = self._index.get(to)
        if receiver is None or receiver == sender:
            return
        self.counts["sent"] += 1
        weather, rng = self.weather, self._rng
        if (sender, receiver) in self.cuts or rng.random() < weather.loss:
            self.counts["lost"] += 1
            return
        copies = 1
        if weather.doubled and rng.random() < weather.doubled:
            self.counts["doubled"] += 1
            copies = 2
        source = self._addresses[sender]
        for _ in range(copies):
            self._later(self._delay(kind), lambda: self._deliver(receiver, source, datagram))

    def _delay(self, kind: type) -> Span:
        weather, rng = self.weather, self._rng
        share = weather.slow.get(kind, weather.tail)
        if share and rng.random() < share:
            self.counts["late"] += 1
            # Pareto: most are a little late, a few very much so.
            return min(int(weather.usual * (1 + rng.paretovariate(0.6))), weather.worst)
        return weather.fastest + int((weather.usual - weather.fastest) * rng.random())
