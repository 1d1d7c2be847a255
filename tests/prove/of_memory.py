"""Mutants of what a restart must not lose: quarantine, the longest lock, the floor of the terms.

Each costs safety: a voter that forgot votes twice, or a token is spoken again.
"""

from __future__ import annotations

from prove.mutation import DIRECTED, HOLES, KILLED, RULES, WAITS, Mutant, Patch

MEMORY: tuple[Mutant, ...] = (
    Mutant(
        "no-quarantine",
        "2 Q: a restarted voter is silent as long as a lock may live (I6)",
        (
            Patch(
                "agenda.py",
                "longest = max(node.timing.lock, memory.max_lock)",
                "return 0",
            ),
        ),
        (DIRECTED + "test_a_restarted_voter_is_silent_for_a_lock",),
        scope="locks",
    ),
    Mutant(
        "quarantine-without-max-lock",
        "hole 11: Q = max(L, durable max_lock)",
        (Patch("agenda.py", "max(node.timing.lock, memory.max_lock)", "node.timing.lock"),),
        (HOLES + "test_11_a_voter_remembers_the_longest_lock_it_granted",),
        scope="max-lock",
    ),
    Mutant(
        "max-lock-of-others-forgotten",
        "hole 11: the longest lock granted is on disk before the ACK",
        (
            Patch(
                "learner.py",
                "        c.acceptor.max_lock = max(c.acceptor.max_lock, span)\n",
                "",
            ),
        ),
        (HOLES + "test_11_a_voter_remembers_the_longest_lock_it_granted",),
        scope="max-lock",
    ),
    Mutant(
        "max-lock-of-its-own-forgotten",
        "hole 11: the lock on oneself counts as well",
        (
            Patch(
                "proposer.py",
                "        c.acceptor.max_lock = max(c.acceptor.max_lock, timing.lock)\n"
                "        c.disk.persist()\n",
                "        c.disk.persist()\n",
            ),
            Patch(
                "proposer.py",
                "        c.acceptor.max_lock = max(c.acceptor.max_lock, timing.lock)\n"
                "        until = now",
                "        until = now",
            ),
        ),
        (RULES + "test_a_leader_remembers_the_lock_on_itself",),
    ),
    Mutant(
        "clean-stop-forgets-the-lock",
        "2 Q: shortened by knowledge, never by hope",
        (Patch("agenda.py", "min(max(memory.clean_until - now, 0), longest)", "0"),),
        (DIRECTED + "test_a_clean_stop_leaves_the_end_of_its_lock",),
    ),
    Mutant(
        "clean-stop-ends-the-quarantine",
        "2 Q: a clean stop in quarantine keeps it",
        (
            Patch(
                "proposer.py",
                "max(lock.until if lock else 0, c.agenda.quarantine_until)",
                "lock.until if lock else 0",
            ),
        ),
        (RULES + "test_a_clean_stop_in_quarantine_keeps_the_quarantine",),
    ),
    Mutant(
        "heartbeat-locks-in-quarantine",
        "5 acceptor: no ACK in quarantine (I6)",
        (
            Patch(
                "learner.py",
                "        if c.agenda.silent:\n            self._on_hint",
                "        if False:\n            self._on_hint",
            ),
        ),
        (WAITS + "test_a_quarantined_voter_follows_without_a_lock",),
        scope="locks",
    ),
    Mutant(
        "prepare-promised-in-quarantine",
        "5 acceptor: no PROMISE in quarantine (I6)",
        (
            Patch(
                "learner.py",
                "if c.agenda.silent or not c.may_vote:",
                "if not c.may_vote:",
            ),
        ),
        (KILLED + "test_nothing_is_promised_in_quarantine",),
    ),
    Mutant(
        "claim-in-quarantine",
        "5 proposer: no claim in quarantine",
        (
            Patch("proposer.py", "            and not c.agenda.silent\n", ""),
            Patch(
                "agenda.py",
                "max(self.sit_out_until, self.quarantine_until, self.listening_until)",
                "max(self.sit_out_until, self.listening_until)",
            ),
        ),
        (KILLED + "test_nobody_claims_in_quarantine",),
    ),
    Mutant(
        "ack-before-the-disk",
        "hole 14: max_term is durable before the ACK",
        (
            Patch(
                "learner.py",
                "        self._c.disk.persist()\n"
                "        self._c.out.send(Ack(beat.term, beat.seq, peer.owner.incarnation), peer)",
                "        self._c.out.send(Ack(beat.term, beat.seq, peer.owner.incarnation), peer)\n"
                "        self._c.disk.persist()",
            ),
        ),
        (HOLES + "test_14_a_term_is_on_disk_before_it_is_acknowledged",),
        scope="locks",
    ),
    Mutant(
        "ack-without-the-disk",
        "hole 14: max_term is durable at all",
        (Patch("learner.py", "        self._c.disk.persist()\n", ""),),
        (HOLES + "test_14_a_term_is_on_disk_before_it_is_acknowledged",),
        scope="locks",
    ),
    Mutant(
        "claim-before-the-disk",
        "hole 7: the floor is durable before it is spoken",
        (
            Patch(
                "proposer.py",
                "        c.disk.persist()\n"
                "        c.out.broadcast(Prepare(term, self.predecessor), "
                "c.membership.members(now))",
                "        c.out.broadcast(Prepare(term, self.predecessor), "
                "c.membership.members(now))\n"
                "        c.disk.persist()",
            ),
        ),
        (KILLED + "test_a_claim_that_cannot_be_remembered_is_not_spoken",),
    ),
    Mutant(
        "votes-without-a-disk",
        "3 durable: unwritable, a quorum node never votes",
        (
            Patch(
                "disk.py",
                "return self.writable or not self._node.quorum or self._may_try",
                "return True",
            ),
        ),
        (KILLED + "test_who_cannot_remember_does_not_vote",),
    ),
    Mutant(
        "leads-on-without-a-disk",
        "3 durable: a leader that cannot remember ends",
        (
            Patch(
                "proposer.py", "            self.lapse(Reason.UNWRITABLE)\n", "            pass\n"
            ),
        ),
        (RULES + "test_a_leader_that_cannot_remember_stops_at_once",),
    ),
    Mutant(
        "term-reused",
        "hole 2: a term is claimed once",
        (
            Patch(
                "proposer.py",
                "term = max(c.acceptor.max_term, c.disk.used_term) + 1",
                "term = c.acceptor.max_term + 1",
            ),
        ),
        (HOLES + "test_2_a_term_is_claimed_once",),
    ),
    Mutant(
        "floor-forgotten",
        "hole 7: terms begin above the floor on disk",
        (
            Patch(
                "disk.py", "self.used_term: Term = memory.floor or 0", "self.used_term: Term = 0"
            ),
            Patch("context.py", "max_term=memory.floor or 0", "max_term=0"),
        ),
        (HOLES + "test_7_tokens_grow_though_everybody_forgot",),
        scope="locks",
    ),
    Mutant(
        "wall-clock-ignored",
        "5 proposer: with no floor file also above the wall clock",
        (Patch("proposer.py", "term = max(term, wall_ms)", "pass"),),
        (KILLED + "test_without_a_floor_terms_begin_above_the_wall_clock",),
    ),
    Mutant(
        "failed-write-taken-for-written",
        "3 durable: what was not written is written before it is spoken",
        (
            Patch(
                "disk.py",
                "        self._written = (-1, -1)\n        self.writable = False",
                "        self.writable = False",
            ),
        ),
        (KILLED + "test_what_was_not_written_is_tried_again_before_it_is_spoken",),
    ),
    Mutant(
        "failed-write-spoken-all-the-same",
        "3 durable: a quorum node drops what it could not write",
        (Patch("disk.py", "required=self._node.quorum", "required=False"),),
        (HOLES + "test_14_a_term_is_on_disk_before_it_is_acknowledged",),
    ),
    Mutant(
        "heartbeat-before-the-disk",
        "hole 7: a raised term is durable before it is spoken",
        (
            Patch(
                "proposer.py",
                "        c.disk.persist()\n"
                "        c.out.broadcast(self.heartbeat(), c.membership.members(now))\n",
                "        c.out.broadcast(self.heartbeat(), c.membership.members(now))\n"
                "        c.disk.persist()\n",
            ),
        ),
        (RULES + "test_a_leader_that_cannot_remember_stops_at_once",),
    ),
    Mutant(
        "last-term-taken",
        "3: terms end before their last number",
        (Patch("proposer.py", "if nack.max_term >= MAX_TERM - 1:", "if False:"),),
        (RULES + "test_a_candidate_does_not_believe_in_impossible_terms",),
    ),
    Mutant(
        "anybody-tells-of-later-lives",
        "hole 15: what is said of later lives must be an answer",
        (
            Patch(
                "learner.py",
                "        if not self._c.nonces.is_fresh(hello.echo, self._c.out.now):\n"
                "            return\n",
                "",
            ),
        ),
        (RULES + "test_what_is_said_of_later_lives_must_be_an_answer",),
    ),
    Mutant(
        "raised-term-not-noted",
        "hole 2: a term is used once, a raised one as well",
        (
            Patch(
                "proposer.py",
                "        c.disk.used_term = term\n        lease.raise_term(term)",
                "        lease.raise_term(term)",
            ),
        ),
        (HOLES + "test_6_a_leader_raises_its_term_above_a_followers",),
        "the leader's next heartbeat locks its own acceptor under the raised term in the same "
        "step, and so max_term has it, on disk as well",
    ),
)
