"""Mutants of the peace: nobody leads for long, or roles change without need.

An open group has these only: there M = 1, and that two lead behind a cut is no fault.
"""

from __future__ import annotations

from prove.mutation import DROPPED, HOLES, KILLED_PEACE, RULES, WAITS, Mutant, Patch

PEACE: tuple[Mutant, ...] = (
    Mutant(
        "claim-counters-not-reset",
        "hole 1: a claim begins with new counters",
        (
            Patch(
                "proposer.py",
                "        self.lease = None\n        # Not in this step",
                "        # Not in this step",
            ),
            Patch(
                "proposer.py",
                "        self.lease = None\n        self.leading, self.leaving = False, None",
                "        self.leading, self.leaving = False, None",
            ),
            Patch(
                "proposer.py",
                "claim, self.claim, self.lease = self.claim, None, None",
                "claim, self.claim = self.claim, None",
            ),
        ),
        (HOLES + "test_1_a_claim_begins_with_new_counters",),
    ),
    Mutant(
        "nack-raises-no-term",
        "hole 6: a leader raises its term on NACK",
        (
            Patch(
                "proposer.py",
                "                self.raise_term(nack.max_term)\n",
                "                pass\n",
            ),
        ),
        (HOLES + "test_6_a_leader_raises_its_term_above_a_followers",),
    ),
    Mutant(
        "prepare-raises-the-term",
        "5 acceptor: only accepted heartbeats and NACKs raise max_term",
        (
            Patch(
                "acceptor.py",
                "        self._pledge = claim\n        return Answer.YES",
                "        self._pledge = claim\n"
                "        self.max_term = max(self.max_term, claim.term - 1)\n"
                "        return Answer.YES",
            ),
        ),
        (KILLED_PEACE + "test_a_claim_raises_no_term",),
    ),
    Mutant(
        "busy-raises-the-promise",
        "5 acceptor: who is told BUSY is promised nothing",
        (
            Patch(
                "acceptor.py",
                "            return Answer.BUSY\n        rival",
                "            self._pledge = claim\n            return Answer.BUSY\n        rival",
            ),
        ),
        (RULES + "test_who_is_told_busy_is_promised_nothing",),
    ),
    Mutant(
        "locked-voter-promises",
        "5 acceptor: a live lock of another answers BUSY",
        (
            Patch(
                "acceptor.py",
                "(self._quorum or (lock.direct and lock.owner != claim.owner)):",
                "False:",
            ),
        ),
        (RULES + "test_who_is_told_busy_is_promised_nothing",),
    ),
    Mutant(
        "given-up-claim-promised",
        "hole 2: no promise for a claim that was given up",
        (Patch("acceptor.py", "if self.has_given_up(claim.owner, claim.term):", "if False:"),),
        (RULES + "test_a_claim_that_was_given_up_is_not_promised",),
    ),
    Mutant(
        "worse-claim-promised",
        "5 acceptor: the better of two claims is promised",
        (
            Patch(
                "acceptor.py",
                "rival.owner != claim.owner and rival.strength > claim.strength:",
                "False:",
            ),
        ),
        (KILLED_PEACE + "test_of_two_claims_the_better_is_promised",),
    ),
    Mutant(
        "first-heartbeat-without-the-promise",
        "5 acceptor: not established and a better live promise: refused",
        (
            Patch(
                "acceptor.py",
                "return Answer.CONTENDED if rival.strength > strength else None",
                "return None",
            ),
        ),
        (RULES + "test_a_first_heartbeat_needs_the_promise",),
    ),
    Mutant(
        "repeated-heartbeat-extends",
        "hole 18: (term, seq) again is acknowledged without extending",
        (
            Patch(
                "acceptor.py",
                "lock.term != beat.term or beat.seq <= lock.seq:",
                "lock.term != beat.term or beat.seq < lock.seq:",
            ),
        ),
        (HOLES + "test_18_a_resend_extends_nothing_that_was_not_sent_anew",),
    ),
    Mutant(
        "prepare-said-once",
        "hole 16: PREPARE is repeated to those that have not promised",
        (
            Patch(
                "proposer.py",
                "c.out.send_everywhere(Prepare(claim.term, self.predecessor), peer)",
                "pass",
            ),
        ),
        (HOLES + "test_16_one_lost_prepare_makes_no_second_leader",),
    ),
    Mutant(
        "resignation-not-carried-on",
        "hole 8: PREPARE carries the predecessor's resignation",
        (Patch("learner.py", "        if prepare.after is not None:\n", "        if False:\n"),),
        (HOLES + "test_8_the_successors_claim_carries_the_resignation",),
    ),
    Mutant(
        "departed-leader-expected",
        "hole 9: RELEASE removes its sender from those waited for",
        (
            Patch(
                "learner.py",
                "        self._c.membership.resigned(header.sender)\n",
                "",
            ),
        ),
        (HOLES + "test_9_nobody_waits_for_the_departed",),
    ),
    Mutant(
        "heir-waits-like-all",
        "hole 17: the successor claims at once, the others after R",
        (
            Patch(
                "learner.py",
                "            c.agenda.elect_after(0)\n        elif successor:",
                "            c.agenda.elect_after(c.node.timing.claim_patience)\n"
                "        elif successor:",
            ),
        ),
        (HOLES + "test_17_a_will_names_who_claims_at_once",),
    ),
    Mutant(
        "heartbeat-not-resent",
        "2: one lost datagram never counts as a miss",
        (
            Patch(
                "proposer.py",
                "        self._resend_at = now + timing.heartbeat // 2\n",
                "",
            ),
        ),
        (HOLES + "test_18_a_resend_extends_nothing_that_was_not_sent_anew",),
    ),
    Mutant(
        "clock-in-the-past-locks-out",
        "hole 15: who boots in the past begins anew above its later life",
        (
            Patch(
                "learner.py",
                "            self._c.out.add(Restart(hello.seen))\n",
                "            pass\n",
            ),
        ),
        (HOLES + "test_15_a_clock_in_the_past_locks_nobody_out",),
    ),
    Mutant(
        "late-process-claims-at-once",
        "5 own lateness: patience is extended by it once",
        (
            Patch(
                "election.py", "                self._doubt(now - due)\n", "                pass\n"
            ),
        ),
        (WAITS + "test_doubt_in_oneself_is_extended_once",),
    ),
    Mutant(
        "yields-without-echo",
        "hole 3: a leader yields to a fresh echo of its own nonce only",
        (
            Patch(
                "meeting.py",
                "        if not self._is_proven(peer, beat):\n",
                "        if False:\n",
            ),
        ),
        (HOLES + "test_3_nobody_yields_to_the_dead",),
    ),
    Mutant(
        "challenges-without-bound",
        "hole 4: one CHALLENGE per peer in 50 ms",
        (
            Patch(
                "meeting.py",
                "        if now - peer.challenged_at >= ANSWER_EVERY:\n",
                "        if True:\n",
            ),
        ),
        (HOLES + "test_4_two_leaders_do_not_answer_each_other_for_ever",),
    ),
    Mutant(
        "yields-to-a-standing-report",
        "hole 5: hearsay counts if its heartbeats advance",
        (
            Patch(
                "meeting.py",
                "if fresh and self._is_advancing(busy) and",
                "if fresh and",
            ),
        ),
        (HOLES + "test_5_a_follower_of_a_ghost_unseats_nobody",),
    ),
    Mutant(
        "yields-to-old-reports",
        "hole 5: hearsay answers what was said within A",
        (
            Patch(
                "meeting.py",
                "if fresh and self._is_advancing(busy) and",
                "if self._is_advancing(busy) and",
            ),
        ),
        (RULES + "test_a_leader_believes_answers_to_what_it_said_of_late",),
    ),
    Mutant(
        "candidate-believes-old-answers",
        "hole 5: a candidate believes the answer to its own claim",
        (
            Patch(
                "meeting.py",
                "busy.echo == proposer.claim.term:",
                "True:",
            ),
        ),
        (RULES + "test_a_candidate_believes_the_answer_to_its_own_claim_only",),
    ),
    Mutant(
        "hearsay-passed-on",
        "5 BUSY: hearsay is never passed on as one's own",
        (
            Patch(
                "learner.py",
                "        if lock is None or not lock.direct:\n"
                "            return\n"
                "        leader = c",
                "        if lock is None:\n            return\n        leader = c",
            ),
        ),
        (KILLED_PEACE + "test_hearsay_is_not_passed_on",),
    ),
    Mutant(
        "hearsay-keeps-a-leader-out",
        "5 acceptor: hearsay gives way to what is heard directly",
        (
            Patch(
                "acceptor.py",
                "held is not None and held.direct and held.owner != lock.owner:",
                "held is not None and held.owner != lock.owner:",
            ),
        ),
        (KILLED_PEACE + "test_hearsay_gives_way_to_what_is_heard",),
    ),
    Mutant(
        "ghost-not-refuted",
        "hole 5: a new life refutes the old one",
        (
            Patch(
                "learner.py",
                "            c.out.send(Refute(busy.leader, busy.term), peer)\n",
                "            pass\n",
            ),
        ),
        (HOLES + "test_5_a_new_life_refutes_the_old_one",),
    ),
    Mutant(
        "winner-keeps-its-term",
        "5 leaders meet: the winner raises its term above the loser's",
        (
            Patch(
                "meeting.py",
                "            proposer.raise_term(beat.term)\n",
                "            c.out.send(proposer.heartbeat(), peer)\n",
            ),
        ),
        (KILLED_PEACE + "test_the_winner_of_two_leaders_goes_on_above_the_loser_s_term",),
    ),
    Mutant(
        "yields-to-the-resigned",
        "hole 2: nobody yields to a leader that has given up",
        (
            Patch(
                "learner.py",
                "ghost = self._node.quorum or c.acceptor.has_given_up(peer.owner, beat.term)",
                "ghost = self._node.quorum",
            ),
        ),
        (RULES + "test_nobody_yields_to_a_leader_that_has_given_up",),
    ),
    Mutant(
        "slow-disk-shortens-the-claim",
        "5 proposer: a claim begins when it is spoken",
        (Patch("election.py", "self._proposer.spoken_late(event.took)", "pass"),),
        (WAITS + "test_the_wait_of_a_claim_begins_when_it_is_spoken",),
    ),
    Mutant(
        "worse-node-preempts",
        "5 preemption: a follower of higher priority",
        (
            Patch(
                "handover.py",
                "asked.target == peer.owner.id and peer.priority > self._c.node.priority:",
                "asked.target == peer.owner.id:",
            ),
        ),
        ("core/test_handover.py::test_a_leader_gives_way_only_to_a_better_one",),
    ),
    Mutant(
        "promises-in-a-pause",
        "I9: in a pause only who led last is promised",
        (Patch("learner.py", "if not c.pauses.allows(peer.owner.id, c.out.now):", "if False:"),),
        ("core/test_pause.py::test_one_that_was_away_and_claims_is_told_and_gives_up",),
    ),
    Mutant(
        "used-up-counters-stay",
        "who answers a nonce is heard, whatever was said in its name",
        (Patch("membership.py", "if not self._nonces.is_fresh(hello.echo, now):", "if True:"),),
        (DROPPED + "test_whoever_answers_a_nonce_is_heard_again",),
    ),
    Mutant(
        "greeting-heard-before-unanswered",
        "a greeting that was heard before is asked back",
        (
            Patch(
                "membership.py",
                "self._ask(source, header.sender, now, out, echo=hello.nonce)",
                "pass",
            ),
        ),
        (DROPPED + "test_whoever_answers_a_nonce_is_heard_again",),
    ),
    Mutant(
        "replayed-greeting-counts",
        "and begins no window anew by itself",
        (Patch("membership.py", "if not self._nonces.is_fresh(hello.echo, now):", "if False:"),),
        (DROPPED + "test_a_greeting_that_is_heard_again_is_no_sign_of_life",),
    ),
)
