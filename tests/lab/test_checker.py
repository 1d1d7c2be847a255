"""The checker itself, on logs written by hand: every promise it holds, it can also see broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from lab import checker
from lab.events import EventLog, Record, parse
from lab.ledger import Ledger


def log(story: str) -> list[Record]:
    """Lines of ``ms host what phase [token [pid]]``; the pid is the line's number if not told."""
    records = []
    for number, line in enumerate(filter(None, map(str.strip, story.splitlines())), 1):
        ms, host, what, phase, *more = line.split()
        token, pid = [*more, "7", str(number)][:2] if len(more) < 2 else more[:2]
        records.append(Record(int(ms) * 10**6, host, what, phase, token, token, int(pid)))
    return records


HANDOVER = """
    10 a hook.leader   start 1 100
    12 a hook.leader   end   1 100
    20 a fault         stop
    30 a hook.follower start 1 101
    40 a hook.follower end   1 101
    45 b hook.leader   start 2 102
    46 b hook.leader   end   2 102
"""


def test_a_clean_handover_passes_and_is_measured() -> None:
    records = log(HANDOVER)
    checker.check_hooks(records)
    checker.check_quorum(records)
    checker.check_last_hook(records, {"a": "follower", "b": "leader"})
    assert checker.takeover_gap(records, 20 * 10**6, "a") == 25 * 10**6
    assert checker.handover_gap(records, 20 * 10**6, "a") == 5 * 10**6


def test_after_a_power_cut_nothing_is_owed() -> None:
    checker.check_hooks(
        log(
            """10 a hook.leader start
               20 a fault power-off
               30 a hook.leader start"""
        )
    )


@pytest.mark.parametrize(
    ("check", "story", "complaint"),
    [
        (
            checker.check_hooks,
            """10 a hook.leader start 1 5
               20 a hook.follower start 1 6
               30 a hook.leader tick 1 5
               40 a hook.follower end 1 6""",
            "two hooks ran at once",
        ),
        (
            checker.check_hooks,
            """10 a hook.leader start
               20 a hook.error start
               30 a hook.leader start""",
            "no on_follower between",
        ),
        (
            checker.check_each_host,
            """10 a job start 1 5
               15 a job start 2 6
               20 a job tick 1 5""",
            "two jobs on one host",
        ),
        (
            checker.check_each_host,
            """10 a hook.leader start 5
               15 b hook.leader start 3
               20 a hook.follower start 5
               30 a hook.leader start 4""",
            "tokens went back",
        ),
        (partial(checker.check_never_led, host="a"), "10 a role leader", "a witness led"),
        (partial(checker.check_never_led, host="a"), "10 a job start", "a witness led"),
        (
            checker.check_quorum,
            """10 a hook.leader start 1
               20 b hook.leader start 2
               30 a hook.follower start 1""",
            "two leaders by their hooks",
        ),
        (
            checker.check_quorum,
            """10 a role leader
               20 b role leader
               30 a role none""",
            "two leaders by their role files",
        ),
        (
            checker.check_quorum,
            """10 a job start 1 5
               15 b job start 2 6
               20 a job tick 1 5
               25 b job tick 2 6""",
            "two jobs ran at once",
        ),
        (
            checker.check_quorum,
            """10 a hook.leader start 5
               20 a hook.follower start 5
               30 b hook.leader start 5""",
            "tokens went back",
        ),
    ],
)
def test_a_broken_promise_is_seen(
    check: Callable[[Sequence[Record]], None], story: str, complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(log(story))


OVERLAP = """
    10 a hook.leader   start 5 100
    20 b hook.leader   start 6 101
    30 a hook.follower start 5 102
"""
TWO_ROLES = """
    10 a role leader
    20 b role leader
    30 a role follower
"""
TWO_JOBS = """
    10 a job start 5 100
    20 b job start 6 101
    30 a job end   5 100
    40 b job end   6 101
"""


def windows(*spans: tuple[int, int]) -> list[checker.Window]:
    """Given in milliseconds."""
    return [(since * 10**6, until * 10**6) for since, until in spans]


@pytest.mark.parametrize("story", [OVERLAP, TWO_ROLES, TWO_JOBS])
@pytest.mark.parametrize("divided", [[], [(0, 15)], [(15, 25)], [(25, 40)], [(5, 18), (25, 60)]])
def test_an_open_group_that_nothing_divides_has_one_leader(
    story: str, divided: list[tuple[int, int]]
) -> None:
    """Also at its very start, and when it has agreed again: what lasts longer is one too many."""
    with pytest.raises(AssertionError, match="and nothing kept them apart"):
        checker.check_open(log(story), windows(*divided))


@pytest.mark.parametrize("story", [OVERLAP, TWO_ROLES, TWO_JOBS])
def test_a_divided_open_group_may_have_two(story: str) -> None:
    checker.check_open(log(story), windows((15, 35)))
    checker.check_open(log(story), [(15 * 10**6, checker.FOR_EVER)])


def test_a_second_leader_that_stays_is_seen() -> None:
    stays = log("10 a hook.leader start 5\n20 b hook.leader start 6")
    with pytest.raises(AssertionError, match="and nothing kept them apart"):
        checker.check_open(stays, windows((15, 35)))


def test_tokens_of_an_open_group_grow_while_it_is_whole() -> None:
    """Those of two parts say nothing of each other; a host's own always grow."""
    story = log(
        """10 a hook.leader start 5
           20 a hook.follower start 5
           30 b hook.leader start 4
           40 b hook.follower start 4"""
    )
    with pytest.raises(AssertionError, match="tokens went back"):
        checker.check_open(story, [])
    with pytest.raises(AssertionError, match="tokens went back"):
        checker.check_open(story, windows((1, 5), (50, 60)))
    checker.check_open(story, windows((25, 35)))
    checker.check_open(story, windows((15, 25)))


def test_the_last_hook_must_be_the_roles() -> None:
    with pytest.raises(
        AssertionError, match="role file says follower, the last hook was on_leader"
    ):
        checker.check_last_hook(log("10 a hook.leader start"), {"a": "follower"})
    with pytest.raises(AssertionError, match="role file says leader, the last hook was on_none"):
        checker.check_last_hook([], {"a": "leader"})


@pytest.mark.parametrize("fault", checker.UNGUARDED)
def test_a_dead_guardian_ends_what_it_promised(fault: str) -> None:
    checker.check_quorum(
        log(f"10 a hook.leader start 1\n20 a fault {fault}\n30 b hook.leader start 2")
    )


BLINK = """
    1000 a hook.leader   start 7 10
    1001 a role          leader
    2000 a fault         suspend
    2200 a fault         thaw
"""
NEXT = """
    9000 b hook.leader   start 8 20
    9001 b role          leader
    15000 a hook.follower start 7 11
    15001 a role         follower
"""


def test_a_leader_that_stood_still_for_a_blink_leads_on() -> None:
    """It writes nothing when it goes on, for nothing was lost."""
    records = log(BLINK + NEXT)
    for spans in (checker.tenures(records), checker.role_spans(records)):
        assert [span.start // 10**9 for span in spans if span.host == "a"] == [1, 2]
    with pytest.raises(AssertionError, match="two leaders by their hooks"):
        checker.check_quorum(records)
    by_role = [record for record in records if not record.what.startswith("hook")]
    with pytest.raises(AssertionError, match="two leaders by their role files"):
        checker.check_quorum(by_role)


@pytest.mark.parametrize(
    "after",
    [
        "2900 a hook.follower start 7 11\n 2910 a role none",
        "1900 a fault suspend\n 2100 a hook.follower start 7 11\n 2110 a role none",
        "2150 a fault power-off",
    ],
    ids=["the guardian ends it", "before all goes on", "it never goes on"],
)
def test_what_the_guardian_ends_at_the_thaw_was_over_when_all_stood_still(after: str) -> None:
    records = log(BLINK + after + NEXT.partition("15000")[0])
    checker.check_quorum(sorted(records, key=lambda record: record.at))


def test_a_blink_is_remembered_by_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "events.log")

    def write(story: str) -> None:
        with ledger.path.open("a") as file:
            for r in log(story):
                fields = (r.at, r.host, r.what, r.phase, r.term, r.token, r.pid, r.replay, r.reason)
                file.write(" ".join(map(str, fields)) + "\n")

    write(BLINK + "4000 b fault quiet")
    ledger.compact()
    write(NEXT)
    with pytest.raises(AssertionError, match="two leaders by their hooks"):
        checker.check_quorum(ledger.read())


def test_changes_are_gains_and_losses_only() -> None:
    records = log("""
        10 a role candidate
        20 a role leader
        30 b role follower
        40 a role follower
        50 b role candidate
        60 b role leader
    """)
    assert [(r.host, r.phase) for r in checker.changes(records)] == [
        ("a", "leader"),
        ("a", "follower"),
        ("b", "leader"),
    ]


def test_two_leaders_are_measured_from_the_healing() -> None:
    story = "10 a hook.leader start 1\n20 b hook.leader start 2\n"
    ended = log(story + "90 b hook.follower start 2")
    assert checker.two_leaders_ns(ended, 50 * 10**6) == 40 * 10**6
    with pytest.raises(AssertionError, match="two leaders to the end"):
        checker.two_leaders_ns(log(story), 50 * 10**6)


def test_nobody_took_over() -> None:
    with pytest.raises(AssertionError, match="nobody took over from a"):
        checker.takeover_gap(log(HANDOVER), 50 * 10**6, "a")


def test_lines_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events.log")
    at = events.note("a", "fault", "crash")
    with events.path.open("a") as half:
        half.write("123 b hook.lea")
    assert [(r.at, r.host, r.phase) for r in events.read()] == [(at, "a", "crash")]
    with pytest.raises(AssertionError, match="torn or foreign line"):
        parse("123 b hook.lea\n")


JOBS = """
    10 a job start 1 100
    15 a job tick  1 100
    20 a job tick  1 100
    60 a job start 2 101
    64 a job end   2 101
    70 b job start 3 100
    75 b job tick  3 100
"""


def test_the_end_of_a_job_is_where_it_says_so_or_a_tick_after_its_last_line() -> None:
    records, ms = log(JOBS), 10**6
    assert checker.job_end(records, 18 * ms, "a", 500 * ms) == 25 * ms
    assert checker.job_end(records, 62 * ms, "a", 500 * ms) == 64 * ms
    assert checker.job_end(records, 72 * ms, "b", 100 * ms) is None
    with pytest.raises(AssertionError, match="no job ran on a"):
        checker.job_end(records, 40 * ms, "a", 500 * ms)


def test_the_start_of_a_job_is_the_first_elsewhere() -> None:
    records, ms = log(JOBS), 10**6
    assert checker.job_start(records, 18 * ms, "a") == 70 * ms
    assert checker.job_start(records, 18 * ms, "") == 60 * ms
    assert checker.job_start(records, 71 * ms, "a") is None


def test_hosts_at_work_are_those_whose_job_stamped_lately_and_did_not_end() -> None:
    records, ms = log(JOBS), 10**6
    assert checker.hosts_at_work(records, 50 * ms) == {"b"}
    assert checker.hosts_at_work(records, 76 * ms) == set()
    assert checker.hosts_at_work(records[:3], 12 * ms) == {"a"}


def test_on_leader_may_run_again_in_one_term_on_one_host_only() -> None:
    again = "10 a hook.leader start 5\n20 a hook.follower start 5\n30 {} hook.leader start {}"
    checker.check_tokens(log(again.format("a", 5)))
    for host, token in (("b", 5), ("a", 4)):
        with pytest.raises(AssertionError, match="tokens went back"):
            checker.check_tokens(log(again.format(host, token)))
