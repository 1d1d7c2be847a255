"""Mutants of the lease, and of its end: until when a leader acts, and when it says it does not.

Each costs safety: the next leader begins while this one, or its job, still acts.
"""

from __future__ import annotations

from prove.mutation import DIRECTED, HOLES, KILLED, Mutant, Patch

LEASES: tuple[Mutant, ...] = (
    Mutant(
        "deadline-from-the-ack",
        "5 proposer: a lease counts from the sending",
        (
            Patch(
                "proposer.py",
                "        if lease.acknowledge(peer.owner.id, ack.seq) and self._c.node.quorum:",
                "        if lease.sent_at(ack.seq) is not None:\n"
                "            lease._sent[ack.seq] = self._c.out.now\n"
                "        if lease.acknowledge(peer.owner.id, ack.seq) and self._c.node.quorum:",
            ),
        ),
        (DIRECTED + "test_a_lease_counts_from_the_sending",),
        scope="renewals",
    ),
    Mutant(
        "resend-stamped-anew",
        "hole 18: a resend keeps its first send time",
        (
            Patch(
                "proposer.py",
                "        lease, now = self.held, self._c.out.now\n",
                "        lease, now = self.held, self._c.out.now\n"
                "        lease._sent[lease.seq] = now\n",
            ),
        ),
        (HOLES + "test_18_a_resend_extends_nothing_that_was_not_sent_anew",),
        scope="renewals",
    ),
    Mutant(
        "ack-of-another-term",
        "5 proposer: only ACKs of the current term count",
        (
            Patch(
                "proposer.py",
                "if lease is None or ack.term != lease.term:",
                "if lease is None:",
            ),
        ),
        (HOLES + "test_1_acknowledgements_of_an_earlier_tenure_count_for_nothing",),
    ),
    Mutant(
        "ack-of-another-life",
        "3 identity: an ACK is for one incarnation",
        (
            Patch(
                "proposer.py",
                "        if ack.incarnation != self._me.incarnation:\n",
                "        if False:\n",
            ),
        ),
        (DIRECTED + "test_what_an_earlier_life_was_told_supports_nobody",),
        scope="lives",
    ),
    Mutant(
        "token-published-early",
        "hole 10: a token is published after M ACKs carry it",
        (Patch("lease.py", "if len(current) >= self._needed:", "if True:"),),
        (HOLES + "test_10_a_raised_term_is_published_when_a_majority_has_it",),
        scope="mesh",
    ),
    Mutant(
        "late-support-makes-a-leader",
        "5 proposer: the first deadline lies beyond now",
        (
            Patch(
                "proposer.py",
                "self.claim is not None and c.out.now < lease.deadline and c.node.quorum:",
                "self.claim is not None and c.node.quorum:",
            ),
        ),
        (KILLED + "test_late_support_makes_no_leader_of_one_in_doubt",),
        scope="renewals",
    ),
    Mutant(
        "deadline-not-looked-at",
        "5 proposer: at its deadline a leader is a follower",
        (
            Patch("election.py", "        self._proposer.pass_deadline()\n", ""),
            Patch(
                "proposer.py",
                "            times.append(self.lease.deadline)\n",
                "            pass\n",
            ),
        ),
        (KILLED + "test_a_lease_that_has_run_out_is_not_renewed",),
    ),
    Mutant(
        "deadline-only-at-wakes",
        "5 proposer: now >= deadline is checked first in every handler",
        (Patch("election.py", "if now >= due:", "if now >= due and isinstance(event, Woken):"),),
        (KILLED + "test_support_that_comes_too_late_carries_nobody_on",),
    ),
    Mutant(
        "quorum-claim-times-out-and-leads",
        "5 proposer: a quorum claim without promises ends",
        (
            Patch(
                "proposer.py",
                "        if now >= claim.until:\n            if not c.node.quorum:",
                "        if now >= claim.until:\n            if True:",
            ),
        ),
        (KILLED + "test_a_claim_without_a_majority_ends",),
        scope="clocks",
    ),
    Mutant(
        "lapse-frees-the-lock",
        "hole 13: a lapse frees nothing until the job has ended",
        (
            Patch(
                "proposer.py",
                "        self._c.acceptor.hold()\n",
                "        self._c.acceptor.release(self._me, term)\n",
            ),
        ),
        (HOLES + "test_13_a_lapse_frees_nothing_before_the_job_has_ended",),
        scope="own-vote",
    ),
    Mutant(
        "lapse-holds-the-lock-for-L",
        "hole 13: held until the job has ended, however long",
        (Patch("proposer.py", "        self._c.acceptor.hold()\n", ""),),
        (HOLES + "test_13_a_lapse_frees_nothing_before_the_job_has_ended",),
    ),
    Mutant(
        "release-at-the-lapse",
        "hole 13: no RELEASE until the job has ended (I8)",
        (
            Patch(
                "proposer.py",
                "        self._c.acceptor.hold()\n",
                "        self._c.acceptor.hold()\n"
                "        members = self._c.membership.members(self._c.out.now)\n"
                "        self._c.out.broadcast(Release(term), members)\n",
            ),
        ),
        (HOLES + "test_13_a_lapse_frees_nothing_before_the_job_has_ended",),
        scope="own-vote",
    ),
    Mutant(
        "job-of-an-earlier-life-forgotten",
        "hole 13: a new incarnation waits for the job as well",
        (
            Patch(
                "roles.py",
                "self._owed: int | None = 0 if job_running else None",
                "self._owed: int | None = None",
            ),
        ),
        (HOLES + "test_13_a_failed_claim_of_a_new_life_frees_nothing_either",),
    ),
    Mutant(
        "claim-while-its-job-ends",
        "5 proposer: no claim while on_follower runs",
        (Patch("proposer.py", "            and not c.roles.owes\n", ""),),
        (HOLES + "test_13_a_failed_claim_of_a_new_life_frees_nothing_either",),
    ),
    Mutant(
        "any-settlement-settles",
        "5 proposer: the end of an earlier job settles nothing newer",
        (
            Patch(
                "roles.py",
                "self._owed is None or change < self._owed:",
                "self._owed is None:",
            ),
        ),
        (KILLED + "test_the_end_of_an_earlier_job_settles_nothing_newer",),
    ),
    Mutant(
        "release-before-the-job-ends",
        "5 stop: job and on_follower end while still renewing (I8)",
        (
            Patch(
                "proposer.py",
                "            self._c.roles.step_back(reason, self.held.term)\n        elif",
                "            self._c.roles.step_back(reason, self.held.term)\n"
                "            self._resign(self.leaving)\n        elif",
            ),
        ),
        ("core/test_handover.py::test_the_job_ends_before_the_leadership_moves",),
    ),
    Mutant(
        "farewell-into-the-next-tenure",
        "5 stop: no RELEASE is under way when a job may run again",
        (Patch("proposer.py", "        self._farewells.clear()\n", ""),),
        ("core/test_handover.py::test_who_leads_again_says_no_more_farewell",),
    ),
    Mutant(
        "refuted-while-its-job-runs",
        "hole 13: no REFUTE until the job has ended",
        (Patch("learner.py", "if c.roles.owes or proposer.lapsed is not None:", "if False:"),),
        (HOLES + "test_5_no_life_is_refuted_while_its_job_may_run",),
    ),
    Mutant(
        "will-kept-after-the-tenure",
        "7 will: it frees the present tenure's locks, and goes with it",
        (Patch("proposer.py", "            self._will.withdraw()\n", "            pass\n"),),
        (KILLED + "test_a_will_goes_with_its_tenure",),
    ),
    Mutant(
        "will-withdrawn-at-the-lapse",
        "7 will: after a lapse it stays until the job has ended",
        (
            Patch(
                "proposer.py",
                "elif self._will.deposited is not None and self.lapsed is None:",
                "elif self._will.deposited is not None:",
            ),
        ),
        (KILLED + "test_a_will_stays_until_the_job_has_ended",),
    ),
    Mutant(
        "quorum-leader-yields-to-a-leader",
        "5: leaders meet in open groups only",
        (
            Patch(
                "learner.py",
                "ghost = self._node.quorum or c.acceptor.has_given_up(peer.owner, beat.term)",
                "ghost = c.acceptor.has_given_up(peer.owner, beat.term)",
            ),
        ),
        (KILLED + "test_a_leader_of_a_quorum_group_yields_to_nobody",),
    ),
    Mutant(
        "quorum-answers-a-challenge",
        "5: leaders meet in open groups only",
        (
            Patch(
                "learner.py",
                "        if self._node.quorum:\n"
                "            return\n"
                "        if self._proposer.leading:",
                "        if self._proposer.leading:",
            ),
        ),
        (KILLED + "test_a_leader_of_a_quorum_group_yields_to_nobody",),
    ),
    Mutant(
        "hearsay-in-a-quorum-group",
        "5 BUSY: in a quorum group a hint only",
        (
            Patch(
                "learner.py",
                "elif not self._node.quorum:\n",
                "elif True:\n",
            ),
        ),
        (KILLED + "test_hearsay_is_no_lock_in_a_quorum_group",),
    ),
    Mutant(
        "send-times-of-the-lower-term-kept",
        "3 sent: only the current term's heartbeats have a send time",
        (Patch("lease.py", "        self._sent.clear()\n", ""),),
        (HOLES + "test_10_a_raised_term_is_published_when_a_majority_has_it",),
        "an ACK names its term, and on_ack drops those of another before it looks at the number; "
        "numbers go on growing when a term is raised",
    ),
)
