"""What the stamps prove: the promises of the product, held against the lab's log.

Every ``check_…`` raises AssertionError with the records that contradict it. The figures
(`takeover_gap`, `handover_gap`, `two_leaders_ns`) are in nanoseconds and only ever err upwards.

A process is known to live from its first to its last line, whatever killed it: what lasts stamps
every 5 ms. A host counts as leading from the first line of on_leader to the first line of the
on_follower that ends it, the most that an outsider could call leadership; a crash of agent *and*
guardian ends it, as nobody is left to keep the promise. A host that stands still leads nobody
meanwhile, and leads on when it goes on, unless its guardian ends that at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.events import NS, Record

ROLE_HOOKS = ("hook.leader", "hook.follower")
UNGUARDED = ("crash-both", "power-off", "suspend", "gone")
THAWED = "thaw"
TICK = 5_000_000  # what lives stamps so often: it may have lived so long after its last line
LATE = 250_000_000  # what has been silent for so long, on however busy a machine, is dead
RESUMED = NS  # a loss so soon after the thaw is what the guardian had to say of the standstill


FOR_EVER = 1 << 63
Window = tuple[int, int]
"""From an instant until another (ns), `FOR_EVER` while it lasts."""


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` to ``end`` (ns), ``end`` None while it lasts."""

    host: str
    what: str
    start: int
    end: int | None
    term: str = "-"

    def overlaps(self, other: Span) -> bool:
        return (other.end is None or self.start < other.end) and (
            self.end is None or other.start < self.end
        )

    def __str__(self) -> str:
        end = "…" if self.end is None else f"{self.end / NS:.4f}"
        return f"{self.host} {self.what} term={self.term} [{self.start / NS:.4f}, {end}]"


# -- promises to every group


def check_hooks(records: Sequence[Record]) -> None:
    """Per host: hooks run one at a time, and an on_follower runs between two on_leader."""
    for host in _hosts(records):
        own = [record for record in records if record.host == host]
        hooks = sorted(lives(own, "hook."), key=lambda span: span.start)
        _check_disjoint(hooks, "two hooks ran at once on one host")
        _check_alternation(own)


def _check_alternation(own: Iterable[Record]) -> None:
    """A power cut ends the job, and takes the memory of it along: nothing is owed after it."""
    marks = [r for r in own if r.phase == "power-off" or (r.is_hook_start and r.what in ROLE_HOOKS)]
    for before, after in itertools.pairwise(marks):
        if before.what == after.what == "hook.leader":
            raise AssertionError(f"no on_follower between two on_leader:\n{before}\n{after}")


def check_each_host(records: Sequence[Record]) -> None:
    """Per host: one job at a time, and tokens grow. For hosts that keep their disks."""
    for host in _hosts(records):
        own = [record for record in records if record.host == host]
        _check_disjoint(lives(own, "job"), "two jobs on one host")
        check_tokens(own)


def check_never_led(records: Sequence[Record], host: str) -> None:
    """No hook, role file or job ever said that this host leads: it is a witness."""
    own = [record for record in records if record.host == host]
    led = [*tenures(own), *role_spans(own), *lives(own, "job")]
    if led:
        raise AssertionError("a witness led:\n" + "\n".join(map(str, led)))


def check_last_hook(records: Sequence[Record], roles: Mapping[str, str]) -> None:
    """The last hook of each host that runs is the one of its role."""
    for host, role in roles.items():
        last = last_role_hook(records, host)
        if (last == "leader") != (role == "leader"):
            raise AssertionError(f"{host}: the role file says {role}, the last hook was on_{last}")


def last_role_hook(records: Sequence[Record], host: str) -> str:
    """``leader``, ``follower``, or ``none`` if neither has run on the host."""
    own = [r for r in records if r.host == host and r.is_hook_start and r.what in ROLE_HOOKS]
    return own[-1].what.removeprefix("hook.") if own else "none"


# -- promises to a quorum group


def check_quorum(records: Sequence[Record]) -> None:
    """Never two leaders by hooks, role files or jobs, and tokens grow from leader to leader."""
    _check_disjoint(tenures(records), "two leaders by their hooks")
    _check_disjoint(role_spans(records), "two leaders by their role files")
    _check_disjoint(lives(records, "job"), "two jobs ran at once")
    check_tokens(records)


def check_tokens(records: Sequence[Record]) -> None:
    """Each on_leader carries a higher token than every on_leader before it.

    But for one that runs again on the same host, in the same term: after the guardian's death.
    """
    gains = [r for r in records if r.is_hook_start and r.what == "hook.leader"]
    for before, after in itertools.pairwise(gains):
        again = (after.host, after.token) == (before.host, before.token)
        if int(after.token) <= int(before.token) and not again:
            raise AssertionError(f"tokens went back:\n{before}\n{after}")


# -- promises to an open group


def check_open(records: Sequence[Record], divided: Sequence[Window]) -> None:
    """One leader by hooks, role files and jobs, and tokens that grow from leader to leader.

    But for when the group was ``divided``: hosts may not have heard each other, or not have agreed
    again after that. Two may lead then, and tokens of one such time and of the next say nothing of
    each other.
    """
    _check_apart(tenures(records), divided, "two leaders by their hooks")
    _check_apart(role_spans(records), divided, "two leaders by their role files")
    _check_apart(lives(records, "job"), divided, "two jobs ran at once")
    ends = [0, *(until for _, until in divided)]
    begins = [*(since for since, _ in divided), FOR_EVER]
    for begin, end in zip(ends, begins, strict=True):
        check_tokens([record for record in records if begin < record.at < end])


# -- what the log says


def lives(records: Iterable[Record], prefix: str) -> list[Span]:
    """First to last line of every process whose lines start so.

    A pid alone does not name one: containers count theirs from 1.
    """
    found: dict[tuple[str, int, str, str], list[Record]] = {}
    for record in records:
        if record.what.startswith(prefix):
            process = (record.host, record.pid, record.what, record.term)
            found.setdefault(process, []).append(record)
    return [
        Span(host, what, lines[0].at, lines[-1].at, lines[0].term)
        for (host, _pid, what, _term), lines in found.items()
    ]


def tenures(records: Sequence[Record]) -> list[Span]:
    """Leadership as the hooks saw it: on_leader's first line to on_follower's first line."""
    return _spans(
        records,
        begins=lambda r: r.is_hook_start and r.what == "hook.leader",
        ends=lambda r: r.is_hook_start and r.what == "hook.follower",
        what="leads (hooks)",
    )


def role_spans(records: Sequence[Record]) -> list[Span]:
    """Leadership as the role files showed it; a dead host's stale file counts to its death."""
    return _spans(
        records,
        begins=lambda r: r.what == "role" and r.phase == "leader",
        ends=lambda r: r.what == "role" and r.phase != "leader",
        what="leads (role file)",
    )


def changes(records: Iterable[Record]) -> list[Record]:
    """Every gain and every loss of leadership, by the role files."""
    found, leading = [], set[str]()
    for record in records:
        if record.what == "role" and (record.phase == "leader") != (record.host in leading):
            leading ^= {record.host}
            found.append(record)
    return found


# -- figures


def takeover_gap(records: Sequence[Record], fault_at: int, host: str) -> int:
    """From the fault to the first line of on_leader on another host."""
    for record in records:
        is_gain = record.is_hook_start and record.what == "hook.leader"
        if is_gain and record.at >= fault_at and record.host != host:
            return record.at - fault_at
    raise AssertionError(f"nobody took over from {host}")


def handover_gap(records: Sequence[Record], fault_at: int, host: str) -> int:
    """From the last line of the old on_follower to the first of the new on_leader."""
    for record in records:
        if (record.host, record.what, record.phase) == (host, "hook.follower", "end"):
            if record.at < fault_at:
                continue
            gap = takeover_gap(records, fault_at, host)
            return fault_at + gap - record.at
    raise AssertionError(f"{host} never finished its on_follower")


def two_leaders_ns(records: Sequence[Record], since: int) -> int:
    """From ``since`` until at most one host leads by its hooks; AssertionError if that never was.

    A host leads until the first line of its on_follower, so this errs upwards.
    """
    spans = [span for span in tenures(records) if span.end is None or span.end > since]
    if sum(span.end is None for span in spans) > 1:
        raise AssertionError("two leaders to the end:\n" + "\n".join(map(str, spans)))
    ends = sorted(span.end for span in spans if span.end is not None and span.start <= since)
    return ends[-1] - since if ends else 0


# -- jobs


def hosts_at_work(records: Iterable[Record], since: int) -> set[str]:
    """The hosts on which a job has given a sign of life since then, and has not ended."""
    last = {(r.host, r.pid, r.term): r for r in records if r.what == "job"}
    return {r.host for r in last.values() if r.phase != "end" and r.at >= since}


def job_end(records: Sequence[Record], at: int, host: str, now: int) -> int | None:
    """When the job that ran on that host at that instant ended; None if it still runs now.

    The end of one that was killed is set a tick after its last line: it errs upwards.
    """
    last = {(r.pid, r.term): r for r in records if (r.host, r.what) == (host, "job")}
    born = {(r.pid, r.term): r.at for r in reversed(records) if (r.host, r.what) == (host, "job")}
    for process, line in last.items():
        if born[process] <= at <= line.at + TICK:
            if line.phase == "end":
                return line.at
            return line.at + TICK if line.at < now - LATE else None
    raise AssertionError(f"no job ran on {host} at {at / NS:.4f}")


def job_start(records: Iterable[Record], at: int, host: str) -> int | None:
    """When the first job after that instant started, on another host; None if none has."""
    starts = (r.at for r in records if r.what == "job" and r.phase == "start" and r.host != host)
    return min((start for start in starts if start >= at), default=None)


# -- below


def _spans(
    records: Sequence[Record],
    *,
    begins: Callable[[Record], bool],
    ends: Callable[[Record], bool],
    what: str,
) -> list[Span]:
    """From each beginning to its end; a standstill parts one in two, see `RESUMED`."""
    found: list[Span] = []
    open_since: dict[str, Record] = {}
    still: dict[str, Record] = {}
    thawed_at: dict[str, int] = {}

    def close(host: str, at: int | None) -> None:
        gain = open_since.pop(host)
        since = thawed_at.pop(host, None)
        until = at if at is not None else records[-1].at
        if since is None:
            found.append(Span(host, what, gain.at, at, gain.term))
        elif until - since > RESUMED:
            found.append(Span(host, what, since, at, gain.term))

    for record in records:
        host, is_fault = record.host, record.what == "fault"
        unguards = is_fault and record.phase in UNGUARDED
        if ends(record) or unguards:
            gain = open_since.get(host) or still.pop(host, None)
            if host in open_since:
                close(host, record.at)
            if gain is not None and record.phase == "suspend":
                still[host] = gain
        elif is_fault and record.phase == THAWED and host in still:
            open_since[host], thawed_at[host] = still.pop(host), record.at
        elif begins(record):
            still.pop(host, None)
            open_since.setdefault(host, record)
    for host in list(open_since):
        close(host, None)
    return sorted(found, key=lambda span: span.start)


def _hosts(records: Iterable[Record]) -> list[str]:
    return sorted({record.host for record in records})


def _check_disjoint(spans: Sequence[Span], complaint: str) -> None:
    for one, other in itertools.combinations(spans, 2):
        if one.overlaps(other):
            raise AssertionError(f"{complaint}:\n{one}\n{other}")


def _check_apart(spans: Sequence[Span], divided: Sequence[Window], complaint: str) -> None:
    """Two of them overlap only within one of these windows."""
    for one, other in itertools.combinations(spans, 2):
        if not one.overlaps(other) or one.host == other.host:
            continue
        since = max(one.start, other.start)
        until = min(span.end or FOR_EVER for span in (one, other))
        if not any(begin <= since and until <= end for begin, end in divided):
            raise AssertionError(f"{complaint}, and nothing kept them apart:\n{one}\n{other}")
