"""Every span of time, derived from two knobs and the job's stop timeout.

    H  heartbeat_interval        the leader's heartbeat period
    F  max_failed_responses      missed heartbeats that are forgiven
    A  = H (F + 1)               the heartbeat silence that is forgiven
    T  = A / 1.25                lease: a leader may act this long after a supported heartbeat was
                                 *sent*
    B  stop_timeout              its job may take this long to end after the lease
    L  = 1.25 (T + B)            lock: a follower believes in its leader this long after a heartbeat
                                 *arrived*

The factor 1.25 holds while each clock runs at most 11 % fast or slow: a lease measured by a slow
clock (0.89) and a lock by a fast one (1.11) still end in the right order, because
1.25 / 1.11 > 1 / 0.89; at 10 % there are 2 % to spare. ``B`` stands inside the parentheses:
outside, a long stop timeout would eat the whole reserve.

Followers use their *leader's* H, T and B, which travel in every heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.core.types import MS, NANOSECONDS, Span


def lock_span(lease: Span, stop_timeout: Span) -> Span:
    """Return L for a lease T and a stop timeout B."""
    return (lease + stop_timeout) * 5 // 4


@dataclass(frozen=True, slots=True)
class Timing:
    """The spans of one incarnation; constant while it lives (a change of them is a restart)."""

    heartbeat: Span
    forgiven: int
    stop_timeout: Span

    @property
    def patience(self) -> Span:
        """A: the heartbeat silence that is forgiven."""
        return self.heartbeat * (self.forgiven + 1)

    @property
    def lease(self) -> Span:
        """T."""
        return self.patience * 4 // 5

    @property
    def lock(self) -> Span:
        """L."""
        return lock_span(self.lease, self.stop_timeout)

    @property
    def listening(self) -> Span:
        """S: silence after the start before the first claim."""
        return max(self.patience, 300 * MS)

    @property
    def claim_wait(self) -> Span:
        """W: how long an open group's candidate waits for those who have not promised."""
        return self.heartbeat * 2 // 5

    @property
    def claim_patience(self) -> Span:
        """R: how long a promise lasts, and how long a quorum candidate waits for promises."""
        return self.heartbeat * 4 // 5

    @property
    def skew(self) -> Span:
        """SK: the upper bound of the random delay before a claim."""
        return self.heartbeat * 4 // 25

    @property
    def preempt_back_off(self) -> Span:
        """What is doubled, up to 64 times it, for who preempts in vain: A, but a second at least.

        It unsettles nodes of other times too, and those should have peace for a minute.
        """
        return max(self.patience, NANOSECONDS)
