"""What is dropped is counted; the log and the memory for it are bounded, whatever comes."""

from __future__ import annotations

from collections import Counter

from followtheleader.core.actions import Unheard
from followtheleader.core.types import NANOSECONDS, Address, Instant
from followtheleader.refusals import MOST_LINES, MOST_SOURCES, SHOWN_FOR, TOLD_EVERY, Refusals
from followtheleader.wire import NO_KEYS, Fault, KeyRing
from wire.rings import ring

A: Address = ("10.0.0.1", 9001)
B: Address = ("10.0.0.2", 9001)


class Told:
    """`Refusals` with a clock, and the lines that they told."""

    def __init__(self, keys: KeyRing = NO_KEYS) -> None:
        self.counters: Counter[str] = Counter()
        self.lines: list[tuple[Instant, str, dict[str, object]]] = []
        self.now: Instant = 1000 * NANOSECONDS
        self.it = Refusals(self.counters, keys, self._tell)

    def _tell(self, text: str, fields: dict[str, object]) -> None:
        self.lines.append((self.now, text, fields))

    def refuse(self, reason: str, source: Address = A, key_id: int = 0, times: int = 1) -> None:
        for _ in range(times):
            self.it.refuse(reason, source, self.now, key_id)

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * NANOSECONDS)

    @property
    def problems(self) -> list[str]:
        return self.it.problems(self.now)


def spoofed(number: int) -> Address:
    return (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1024 + number % 60000)


def test_a_source_and_reason_have_a_line_a_minute() -> None:
    told = Told()
    told.refuse(Fault.MAGIC, times=500)
    told.refuse(Fault.FOREIGN)
    told.refuse(Fault.MAGIC, B)
    told.refuse(Fault.MAGIC, (A[0], 5))
    assert [fields["source"] for _, _, fields in told.lines] == [A[0], A[0], B[0]]
    told.wait(59.9)
    told.refuse(Fault.MAGIC)
    assert len(told.lines) == 3
    told.wait(0.2)
    told.refuse(Fault.MAGIC)
    assert told.lines[-1][2] == {"source": A[0], "reason": "magic", "more": 501, "untold": None}
    assert told.counters == {"rejected-magic": 504, "rejected-foreign-election": 1}


def test_a_flood_from_everywhere_is_some_lines_a_minute_and_no_memory() -> None:
    told = Told(ring("a"))
    for number in range(50_000):
        told.refuse(Fault.UNSIGNED, spoofed(number))
        told.wait(0.01)
    every = [at for at, _, _ in told.lines]
    for at in every:
        assert sum(at <= other < at + TOLD_EVERY for other in every) <= MOST_LINES
    assert len(every) <= (50_000 * 0.01 / 60 + 2) * MOST_LINES
    assert len(told.it._told) <= MOST_LINES
    assert len(told.it._wrong) <= MOST_SOURCES
    untold = sum(int(str(fields["untold"] or 0)) for _, _, fields in told.lines)
    assert untold + told.it._untold + len(every) == 50_000 == told.counters["rejected-unsigned"]
    (problem,) = told.problems
    assert f"and {MOST_SOURCES - 3} more: not signed" in problem


def test_what_every_start_brings_is_counted_only() -> None:
    told = Told()
    for reason in (Unheard.UNVERIFIED, Unheard.REPEATED, Unheard.INCOMPATIBLE):
        told.refuse(reason)
    assert not told.lines
    assert told.counters["rejected-unverified"] == 1
    told.refuse(Unheard.REPLAYED)
    told.refuse(Unheard.STALE)
    assert "(replayed): heard before" in told.lines[0][1]
    assert "(stale-incarnation): of an earlier life of that member" in told.lines[1][1]


def test_wrong_keys_are_problems_with_a_cure_while_they_last() -> None:
    told = Told(ring("a", "b"))
    told.refuse(Fault.TAG, B, 2)
    told.refuse(Fault.KEY, ("fd00::9", 9001), 77)
    told.refuse(Fault.UNSIGNED, A)
    told.refuse(Fault.MAGIC, ("10.0.0.7", 1))
    assert told.problems == [
        "10.0.0.2:9001: signed with key b, and that has another secret here; give both the same "
        "key_file",
        "[fd00::9]:9001: signed with a key that this node does not have (it has a, b); give both "
        "the same key_file",
        "10.0.0.1:9001: not signed, and this node requires it; give that one the key_file of this "
        "one, or for a rollout write key_mode: sign here",
    ]
    told.it.accept(B)
    told.it.accept(A)
    assert len(told.problems) == 1
    told.now += SHOWN_FOR + 1
    assert told.problems == []


def test_a_node_without_a_key_says_who_signs() -> None:
    told = Told()
    told.refuse(Fault.KEY, key_id=5)
    assert told.problems == [
        "10.0.0.1:9001: signed, and this node has no key; give it the key_file of that one"
    ]


def test_each_reason_is_explained() -> None:
    told = Told(ring("a"))
    for reason in (*Fault, *Unheard):
        told.refuse(reason, spoofed(len(told.lines)), 1)
        told.now += TOLD_EVERY
    lines = {str(fields["reason"]) for _, _, fields in told.lines}
    assert lines == {*Fault, *Unheard} - {"unverified", "repeated-release", "incompatible"}
