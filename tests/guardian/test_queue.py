"""The queue alone: whatever is pushed and whenever it runs, the promises hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from followtheleader.guardian.queue import ERRORS_KEPT, Item, Queue

# A step is an event to push, or None: the next item runs.
STEPS = st.lists(st.sampled_from(["leader", "follower", "reelection", "error", None]), max_size=60)


class Bench:
    """Pushes and runs items, and remembers what ran and what was settled."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.ran: list[str] = []
        self.pushed: list[tuple[int, str]] = []
        self.settled: list[tuple[int, str]] = []

    def push(self, event: str, urgent: bool = False) -> Item:
        item = Item(event, len(self.pushed), {}, "")
        self.pushed.append((item.change, event))
        self.queue.push(item, urgent)
        return item

    def run(self) -> None:
        item = self.queue.peek(0)
        if item is not None:
            self.queue.start(item)
            self.ran.append(item.event)
            self.settled += [*item.absorbed, (item.change, item.event)]


@given(STEPS)
def test_the_promises(steps: list[str | None]) -> None:
    bench = Bench()
    for step in steps:
        if step is None:
            bench.run()
        else:
            bench.push(step)
    while bench.queue.waiting:
        bench.run()
    roles = [event for event in bench.ran if event in ("leader", "follower")]
    pushed = [event for _, event in bench.pushed if event in ("leader", "follower")]
    assert roles[-1:] == pushed[-1:], "the last hook is the hook of the last role"
    assert sorted(bench.settled) == sorted(bench.pushed), "every event is settled once"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3))))
def test_an_on_follower_runs_between_two_on_leader(turns: list[tuple[bool, int]]) -> None:
    """Roles alternate, as an agent's do."""
    bench = Bench()
    for number, (with_error, runs) in enumerate(turns):
        bench.push("follower" if number % 2 else "leader")
        if with_error:
            bench.push("error")
        for _ in range(runs):
            bench.run()
    while bench.queue.waiting:
        bench.run()
    roles = "".join(event[0] for event in bench.ran if event in ("leader", "follower"))
    assert "ll" not in roles


def test_what_waits_is_collapsed() -> None:
    bench = Bench()
    for event in ("follower", "reelection", "leader", "follower", "reelection", "leader"):
        bench.push(event)
    assert [item.event for item in bench.queue.waiting] == ["leader"]
    assert [change for change, _ in bench.queue.waiting[0].absorbed] == [0, 1, 2, 3, 4]


def test_an_owed_follower_is_not_collapsed() -> None:
    bench = Bench()
    bench.push("leader")
    bench.run()
    for event in ("follower", "leader", "follower", "leader"):
        bench.push(event)
    assert [(i.event, i.change) for i in bench.queue.waiting] == [("follower", 3), ("leader", 4)]


def test_errors_wait_in_their_place_and_the_newest_are_kept() -> None:
    bench = Bench()
    bench.push("error")
    bench.push("follower")
    for _ in range(ERRORS_KEPT + 5):
        bench.push("error")
    events = [item.event for item in bench.queue.waiting]
    assert events == ["follower"] + ["error"] * ERRORS_KEPT
    assert bench.queue.waiting[-1].change == ERRORS_KEPT + 6


def test_a_loss_goes_before_errors() -> None:
    bench = Bench()
    bench.push("error")
    bench.push("follower", urgent=True)
    assert [item.event for item in bench.queue.waiting] == ["follower", "error"]


def test_an_item_that_waits_for_its_next_attempt_lets_others_by() -> None:
    queue = Queue()
    leader = Item("leader", 1, {}, "")
    queue.push(leader)
    queue.start(leader)
    leader.not_before = 100
    queue.put_back(leader)
    assert queue.peek(99) is None
    assert queue.next_at(99) == 100
    error = Item("error", 1, {}, "")
    queue.push(error)
    assert queue.peek(99) is error
    assert queue.peek(100) is leader
    queue.push(Item("follower", 2, {}, ""))
    assert leader not in queue.waiting
