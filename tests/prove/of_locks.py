"""Mutants of the lock: whom an acceptor believes in, how long, and whose word frees it.

Each costs safety: two leaders, two jobs at once, or tokens that go back. I1 to I10 are the
simulator's invariants (`sim.invariants`); holes and sections have the specification's numbers.
"""

from __future__ import annotations

from prove.mutation import DIRECTED, HOLES, KILLED, RULES, Mutant, Patch

LOCKS: tuple[Mutant, ...] = (
    Mutant(
        "live-lock-replaced",
        "5 acceptor: a live lock is never replaced (I7)",
        (
            Patch(
                "acceptor.py",
                "held is not None and held.direct and held.owner != lock.owner:",
                "False:",
            ),
        ),
        (DIRECTED + "test_a_live_lock_is_never_replaced",),
        scope="locks",
    ),
    Mutant(
        "owner-without-incarnation",
        "3 identity: an owner is a node and its incarnation",
        (
            Patch(
                "acceptor.py",
                "held.direct and held.owner != lock.owner:",
                "held.direct and held.owner.id != lock.owner.id:",
            ),
            Patch(
                "acceptor.py",
                "held is not None and held.owner == lock.owner and held.direct else None",
                "held is not None and held.owner.id == lock.owner.id and held.direct else None",
            ),
        ),
        (DIRECTED + "test_an_owner_is_a_node_and_its_incarnation",),
        scope="lives",
    ),
    Mutant(
        "release-by-owner-only",
        "hole 2: a RELEASE frees terms up to its own",
        (
            Patch(
                "acceptor.py",
                "lock.owner == owner and lock.term <= term:",
                "lock.owner == owner:",
            ),
        ),
        (DIRECTED + "test_a_release_frees_only_terms_up_to_its_own",),
        scope="locks",
    ),
    Mutant(
        "release-of-another-life",
        "3 identity: a RELEASE frees its own incarnation's locks",
        (
            Patch(
                "acceptor.py",
                "lock.owner == owner and lock.term <= term:",
                "lock.owner.id == owner.id and lock.term <= term:",
            ),
        ),
        (KILLED + "test_a_release_frees_the_locks_of_its_own_life_only",),
    ),
    Mutant(
        "given-up-term-locks-again",
        "hole 2: no lock under a term that was given up",
        (
            Patch(
                "acceptor.py",
                "if self.has_given_up(lock.owner, lock.term):",
                "if False:",
            ),
        ),
        (HOLES + "test_2_a_resignation_outlives_what_was_said_before_it",),
    ),
    Mutant(
        "lower-term-locked",
        "hole 14: a term that is not above max_term is refused",
        (
            Patch(
                "acceptor.py",
                "self._quorum and lock.term <= self.max_term and self._last",
                "False and self._last",
            ),
        ),
        (KILLED + "test_no_lock_below_a_term_that_was_acknowledged",),
        scope="locks",
    ),
    Mutant(
        "heartbeat-raises-no-term",
        "hole 14: an accepted heartbeat raises max_term",
        (
            Patch(
                "acceptor.py",
                "            self.max_term = max(self.max_term, lock.term)\n",
                "",
            ),
        ),
        (
            HOLES + "test_14_a_term_is_on_disk_before_it_is_acknowledged",
            KILLED + "test_no_lock_below_a_term_that_was_acknowledged",
        ),
        scope="locks",
    ),
    Mutant(
        "lock-outside-the-reserve",
        "hole 12: L = 1.25 (T + B), not A + B",
        (
            Patch(
                "timing.py",
                "(lease + stop_timeout) * 5 // 4",
                "lease * 5 // 4 + stop_timeout",
            ),
        ),
        (HOLES + "test_12_a_lock_covers_lease_and_job_at_the_worst_clock_rates",),
        scope="stop-timeout",
    ),
    Mutant(
        "no-reserve-for-clocks",
        "2: the factor 1.25 covers 11 % of clock rate, either way",
        (
            Patch(
                "timing.py",
                "(lease + stop_timeout) * 5 // 4",
                "lease + stop_timeout",
            ),
        ),
        (HOLES + "test_12_a_lock_covers_lease_and_job_at_the_worst_clock_rates",),
        scope="clocks",
    ),
    Mutant(
        "lock-by-the-voters-own-times",
        "2: followers use their leader's T and B",
        (
            Patch(
                "learner.py",
                "        span = lock_span(beat.lease, beat.stop_timeout)\n        rank",
                "        span = self._node.timing.lock\n        rank",
            ),
        ),
        (HOLES + "test_18_the_job_that_the_lease_covers_is_not_the_receivers_to_judge",),
        scope="max-lock",
    ),
    Mutant(
        "unverified-life-heard",
        "4 replay: a new incarnation first answers a nonce",
        (
            Patch(
                "membership.py",
                "if peer is None or peer.owner != header.sender:\n            self._ask",
                "if peer is None or peer.owner.id != header.sender.id:\n            self._ask",
            ),
        ),
        (KILLED + "test_a_life_that_has_not_answered_is_not_heard",),
    ),
    Mutant(
        "replays-heard",
        "4 replay: a datagram counts once",
        (
            Patch(
                "membership.py",
                "if not peer.window.accept(header.counter):\n            return None",
                "if False:\n            return None",
            ),
        ),
        (KILLED + "test_a_datagram_counts_once",),
    ),
    Mutant(
        "word-of-another-frees-own-lock",
        "hole 13: only we know whether our job has ended",
        (
            Patch(
                "learner.py",
                "        if owner == self._node.owner:\n",
                "        if False:\n",
            ),
        ),
        (KILLED + "test_nobody_else_says_that_our_job_has_ended",),
    ),
    Mutant(
        "claim-goes-on-beside-a-lock",
        "I7: who locks another gives its own claim up",
        (
            Patch(
                "learner.py",
                "        self._proposer.withdraw(0)\n        c.acceptor.max_lock",
                "        c.acceptor.max_lock",
            ),
        ),
        (KILLED + "test_who_locks_another_gives_its_claim_up",),
        scope="own-vote",
    ),
    Mutant(
        "refuted-by-another",
        "4 REFUTE: only an earlier life of its own",
        (Patch("learner.py", "refute.old.id == peer.owner.id and refute", "refute"),),
        (KILLED + "test_a_life_is_refuted_only_by_a_later_one_of_its_own",),
    ),
    Mutant(
        "present-life-refuted",
        "4 REFUTE: that incarnation of me is dead",
        (Patch("learner.py", " and refute.old.incarnation < peer.owner.incarnation:", ":"),),
        (KILLED + "test_a_life_is_refuted_only_by_a_later_one_of_its_own",),
    ),
    Mutant(
        "own-vote-takes-no-lock",
        "6: an acceptor that supports itself holds a lock as well",
        (
            Patch(
                "acceptor.py",
                "        self._lock = lock\n        if lock.direct:",
                "        if lock.owner != self._me:\n"
                "            self._lock = lock\n"
                "        if lock.direct:",
            ),
        ),
        (HOLES + "test_13_a_lapse_frees_nothing_before_the_job_has_ended",),
        scope="own-vote",
    ),
    Mutant(
        "earlier-life-replaces-the-later",
        "3 identity: a lower incarnation only after A of silence",
        (
            Patch(
                "membership.py",
                "if older and not peer.left and now - peer.heard_at <= self._node.timing.patience:",
                "if False:",
            ),
        ),
        (RULES + "test_an_earlier_life_is_heard_when_the_later_one_is_silent",),
    ),
)
