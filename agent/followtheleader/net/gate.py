"""Who is heard when too many speak: bounds for each source, and for all strangers together.

Promise: whatever comes, what is looked at is bounded, and so are the greetings that it makes us
send; what members say is looked at before it. A source costs a stranger nothing to make up, so that
a bound for each is none: the bound for all strangers is the one that holds. Those whom we have
greeted ourselves count for themselves, so that somebody new is heard beside a flood. When there are
more strangers than it is worth to read, the kernel is told to drop most of them (see `Sieve`).

Here a member is an address at which one was verified. Whoever sends in its name is stopped by the
tag, if there is a key, and by nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from followtheleader.core.addresses import is_loopback
from followtheleader.core.types import NANOSECONDS, Address, Instant, NodeId, Owner
from followtheleader.core.view import MemberView
from followtheleader.net.bucket import Bucket
from followtheleader.net.sieve import MOST_NAMED, SMALLEST_SHARE, Sieve

TOO_MANY = "too-many"
"""The word by which what is not looked at is counted."""
OF_A_MEMBER = 5000
"""From each address of a member, in a second: many times what the fastest timing needs, and so much
that somebody who sends in its name must send more to drown it."""
OF_A_HOST = 200
"""From a strange host. Several nodes may live on one; on this host there is no such bound."""
OF_STRANGERS = 1000
MEMBERS_OF_A_HOST = 16
"""So many members that are there may have one host's address. A nonce that one has been told serves
all of a host, and could make it five hundred members at once."""
OF_A_GREETED = 20
OF_ALL_GREETED = 500
GREETED_FOR: Instant = 5 * NANOSECONDS
SIEVE_AT = 4000
"""So many strangers' datagrams in a second are dropped before they are read."""
_MOST_HOSTS = 1024
_MOST_GREETED = 256


class Gate:
    """``sieve``: of the port that all comes by."""

    def __init__(self, sieve: Sieve) -> None:
        self._sieve = sieve
        self._members: frozenset[Address] = frozenset()
        self._greeted: dict[Address, Instant] = {}
        self._counts: dict[Address | str, int] = {}
        self._second: Instant = 0
        self._strange = self._admitted = self._answers = 0
        self._loud: set[Address] = set()
        self._unread = sieve.dropped()
        self.unread = 0
        """How many datagrams the kernel has dropped."""
        self.share = 1.0
        """Of strangers' datagrams the part that comes to be read."""
        # Whoever speaks and is not known is asked by more bytes than it has spent.
        self._asks = Bucket(100, at_once=100)
        self._tries = Bucket(100, at_once=1024)
        self._joins = Bucket(10, at_once=256)
        self._owners: frozenset[Owner] = frozenset()
        self._ids: dict[NodeId, str] = {}
        self._homes: Counter[str] = Counter()
        self._known_at: Instant = 0

    def know(self, members: Sequence[MemberView], now: Instant) -> None:
        """These are the members now."""
        self._members = frozenset(member.address for member in members)
        self._owners = frozenset(member.owner for member in members)
        self._ids = {member.id: member.address[0] for member in members}
        there = [member for member in members if member.is_there(now)]
        self._homes = Counter(member.address[0] for member in there)
        self._known_at = now

    def may_join(self, owner: Owner, source: Address, now: Instant) -> bool:
        """Whether this answer to a greeting may make ``owner`` a member. See `is_outdated`."""
        if owner in self._owners:
            return True
        host = source[0]
        if self._ids.get(owner.id) != host:
            if self._homes[host] >= MEMBERS_OF_A_HOST and not is_loopback(host):
                return False
            self._homes[host] += 1  # many come in one turn, before we are told of the first
        return self._joins.spend(now)

    def is_outdated(self, now: Instant) -> bool:
        """Whether to `know` again, though none has come: who falls silent is told by nobody."""
        return now - self._known_at >= NANOSECONDS

    def admits(self, source: Address, now: Instant) -> bool:
        """Whether to look at one more datagram from ``source``."""
        if now // NANOSECONDS != self._second:
            self.turn(now)
        counts = self._counts
        if source in self._members:
            counts[source] = count = counts.get(source, 0) + 1
            if count > OF_A_MEMBER:
                self._loud.add(source)
                self._strange += 1  # for the sieve
                return False
            return True
        if self._greeted and self._is_answer(source, now):
            return True
        self._strange += 1
        if self._strange == SIEVE_AT and self.share == 1.0:
            # Not only when the second is over: the buffer may be full by then.
            self._thin_out(SIEVE_AT * NANOSECONDS // max(now % NANOSECONDS, 1), now)
        host = source[0]
        if len(counts) < _MOST_HOSTS or host in counts:
            counts[host] = count = counts.get(host, 0) + 1
            if count > OF_A_HOST and not is_loopback(host):
                return False
        self._admitted += 1
        return self._admitted <= OF_STRANGERS

    def may_greet(self, to: Address, now: Instant, *, asks: bool) -> bool:
        """Whether to greet ``to``; ``asks``: it has spoken, and may not have."""
        if to in self._members:
            return True
        if asks:
            return self._asks.spend(now)
        if not self._tries.spend(now):
            return False
        self._greeted.pop(to, None)
        if len(self._greeted) >= _MOST_GREETED:
            del self._greeted[next(iter(self._greeted))]
        self._greeted[to] = now
        return True

    def turn(self, now: Instant) -> None:
        """A second has passed: count anew, and see what the kernel is to drop."""
        second = now // NANOSECONDS
        seconds = second - self._second
        if seconds <= 0:
            return
        before, self._unread = self._unread, self._sieve.dropped()
        unread = (self._unread - before) & 0xFFFFFFFF
        self.unread += unread
        strangers = (self._strange + unread) // seconds
        if strangers >= (SIEVE_AT if self.share == 1.0 else SIEVE_AT // 2):
            self._thin_out(strangers, now)
        elif self.share < 1.0:
            self.share = 1.0
            self._sieve.clear()
            self._loud.clear()
        self._second = second
        self._strange = self._admitted = self._answers = 0
        self._counts.clear()

    def _thin_out(self, strangers: int, now: Instant) -> None:
        """There are so many of them in a second."""
        # Twice what is looked at: what is dropped is to be counted by its reason, too.
        self.share = min(max(2 * OF_STRANGERS / strangers, SMALLEST_SHARE), 0.5)
        self._sieve.set(self._named(now), self.share)

    def _is_answer(self, source: Address, now: Instant) -> bool:
        at = self._greeted.get(source)
        if at is None or now - at > GREETED_FOR:
            return False
        count = self._counts[source] = self._counts.get(source, 0) + 1
        if count > OF_A_GREETED or self._answers >= OF_ALL_GREETED:
            return False
        self._answers += 1
        return True

    def _named(self, now: Instant) -> list[Address]:
        fresh = [a for a, at in self._greeted.items() if now - at <= GREETED_FOR]
        members = [member for member in self._members if member not in self._loud]
        return [*members[: MOST_NAMED - _MOST_GREETED // 2], *fresh][:MOST_NAMED]
