"""Mutants of the count: whose support makes a majority.

Each costs safety: two sets that both think they are the majority need not share a voter.
"""

from __future__ import annotations

from prove.mutation import DIRECTED, DOUBLES, KILLED, RULES, Mutant, Patch

COUNTS: tuple[Mutant, ...] = (
    Mutant(
        "votes-counted-not-voters",
        "6: M distinct names of the list, not M votes",
        (
            Patch(
                "lease.py",
                "newest[name] = max(sent, newest.get(name, sent))",
                "newest[str(acceptor)] = sent",
            ),
            Patch(
                "proposer.py",
                "names = {voters[node] for node in claim.promised if node in voters}",
                "names = {node for node in claim.promised if node in voters}",
            ),
        ),
        (DIRECTED + "test_a_voters_name_counts_once",),
        scope="names",
    ),
    Mutant(
        "acks-counted-not-voters",
        "6: of two nodes with one name one supports the lease",
        (
            Patch(
                "lease.py",
                "newest[name] = max(sent, newest.get(name, sent))",
                "newest[str(acceptor)] = sent",
            ),
        ),
        (DIRECTED + "test_a_voters_name_counts_once",),
    ),
    Mutant(
        "tokens-counted-not-voters",
        "hole 10: of two nodes with one name one has the token",
        (
            Patch(
                "lease.py",
                "current.add(name)",
                "current.add(str(acceptor))",
            ),
        ),
        (KILLED + "test_a_voters_name_has_a_token_once",),
    ),
    Mutant(
        "doubled-voter-counts",
        "two live nodes that are one voter count for nobody",
        (Patch("peers.py", " and not self.contested", ""),),
        (DOUBLES + "test_a_split_gives_each_part_one_of_them_and_neither_a_leader",),
    ),
    Mutant(
        "doubled-identity-counts",
        "nor do two that live at once with one identity",
        (Patch("doubles.py", "peer.twin = True", "peer.twin = False"),),
        (DOUBLES + "test_a_split_gives_each_part_one_of_them_and_neither_a_leader",),
    ),
    Mutant(
        "doubled-identity-forgotten",
        "nor the next life of one of them",
        (Patch("membership.py", "peer.twin = before.twin", "peer.twin = False"),),
        (DOUBLES + "test_a_restart_of_one_of_them_changes_nothing",),
    ),
    Mutant(
        "doubled-voter-votes",
        "whoever knows that it is doubled does not vote",
        (
            Patch(
                "context.py",
                " and not self.membership.doubles.is_own(self.out.now)",
                "",
            ),
        ),
        (DOUBLES + "test_whoever_is_doubled_does_not_vote",),
    ),
    Mutant(
        "doubled-leader-supports-itself",
        "nor does it support itself",
        (
            Patch(
                "proposer.py",
                "{} if members.doubles.is_own(self._c.out.now) else ",
                "",
            ),
        ),
        (DOUBLES + "test_a_doubled_leader_supports_itself_no_more",),
    ),
    Mutant(
        "stranger-votes",
        "6: members outside the list never vote",
        (
            Patch(
                "proposer.py",
                "if peer.compatible and peer.name in node.voters:",
                "if peer.compatible:",
            ),
        ),
        (DIRECTED + "test_a_stray_node_never_votes",),
        scope="strangers",
    ),
    Mutant(
        "voter-of-another-list",
        "6: the same list of names everywhere",
        (
            Patch(
                "membership.py",
                "return not hello.quorum or hello.voters_digest == self._voters",
                "return True",
            ),
        ),
        (RULES + "test_members_of_another_group_are_nobody",),
    ),
    Mutant(
        "stranger-votes-for-itself",
        "6: who is not in the list neither claims nor counts itself",
        (
            Patch(
                "node.py",
                "return self.votes and not self.witness and self.priority > 0",
                "return not self.witness and self.priority > 0",
            ),
            Patch(
                "proposer.py",
                "own_vote=c.node.votes",
                "own_vote=True",
            ),
        ),
        (KILLED + "test_a_stray_node_never_leads",),
        scope="strangers",
    ),
    Mutant(
        "own-vote-of-a-stranger",
        "5 proposer: own acceptor counted only if it votes",
        (
            Patch(
                "proposer.py",
                "own_vote=c.node.votes",
                "own_vote=True",
            ),
        ),
        (DIRECTED + "test_a_stray_node_never_votes",),
        "who is not in the list never claims (Node.may_lead), so it never beats; together with "
        "that rule it is the mutant stranger-votes-for-itself",
    ),
    Mutant(
        "witness-leads",
        "3: a witness votes and never leads",
        (
            Patch(
                "node.py",
                "return self.votes and not self.witness and self.priority > 0",
                "return self.votes and self.priority > 0",
            ),
        ),
        ("scenarios/test_scenarios.py::test_story[witness]",),
    ),
    Mutant(
        "half-is-a-majority",
        "1: M = N // 2 + 1",
        (Patch("node.py", "len(self.voters) // 2 + 1", "(len(self.voters) + 1) // 2"),),
        (KILLED + "test_half_of_the_voters_is_no_majority",),
        scope="halves",
    ),
    Mutant(
        "newest-ack-is-the-lease",
        "5 proposer: the M-th newest acknowledgement bounds the lease",
        (Patch("lease.py", "reverse=True)[self._needed - 1]", "reverse=True)[0]"),),
        (KILLED + "test_a_lease_is_as_old_as_the_majority_s_support",),
        scope="renewals",
    ),
    Mutant(
        "promises-counted-not-voters",
        "5 proposer: M distinct voters promise before the first heartbeat",
        (
            Patch(
                "proposer.py",
                "names = {voters[node] for node in claim.promised if node in voters}",
                "names = list(claim.promised)",
            ),
        ),
        (DIRECTED + "test_a_voters_name_counts_once", DIRECTED + "test_a_stray_node_never_votes"),
        "promises serve liveness: the first heartbeat goes out too early, and the lease counts "
        "voters by their names; with that rule gone too it is votes-counted-not-voters",
    ),
)
