"""The core: an election without input and output.

**The promise.** In an *open group* there is one leader in every connected part of the network, and
after a split heals one leader again, with one change. In a *quorum group* there is at most one node
at any instant that believes it leads, whatever messages are lost, doubled, late or reordered, and
whoever pauses or restarts, while each clock runs at most 11 % fast or slow. The two differ by one
number, M, the acceptors that must support a leader: itself, or a majority of the *names* in
``voters``.

**The roles.** Every node is three things at once:

    acceptor   believes in one leader at a time. A belief is a *lock*; it ends by itself.
    proposer   claims (PREPARE … PROMISE), leads (HEARTBEAT … ACK), and gives up (RELEASE).
    learner    is told who leads; that is its own acceptor's lock.

So a follower's lock is its failure detector, and a heartbeat is both the request to be accepted and
the renewal. A leader acts under a *lease*: until T after it *sent* the M-th newest heartbeat that
was acknowledged. An acceptor's lock, counted from the *arrival* and longer than the lease by a
quarter, always outlives it. Two majorities share a voter, a voter holds one lock, hence one leader.

**A claim, step by step.** The lock on the old leader runs out, or its RELEASE comes. After a
random skew the node claims: it takes a term above all it has seen, has it written to disk,
promises itself and sends PREPARE. Who holds a live lock answers BUSY; who prefers another
candidate NACK; the others PROMISE. An open group's candidate leads when all who may answer have
promised, or after a short wait. A quorum group's needs M promises, then M ACKs to its first
heartbeat.

**The driver's duties, in order.** The core has no clock, no socket, no disk and no dice. Whoever
drives it must:

1. call `Election.step` with an event and the present instant (CLOCK_BOOTTIME, never decreasing),
   beginning with `Started`;
2. perform the returned actions in their order. `Persist` is finished before the next action; if it
   fails and was ``required``, drop the rest of the list; next hand in `Stored` or `StoreFailed`;
3. at `Election.next_deadline`, first hand in every datagram that is waiting, then `Woken`;
4. on `ChangeRole` to leader or follower run the hooks, and hand in `Settled` with its number when
   the job and the hooks that it set off have ended: until then the node does not claim, and a
   leader that steps down keeps renewing;
5. give `DepositWill` to a process that outlives this one. If this one dies, that process ends the
   job first and then sends the RELEASE.

**A pause** is an operator's word that the roles stay: nobody claims, and nobody is promised
anything, but the member that led last. A leader leads on, and loses its lease as ever; restarted,
it leads again. The newest word is known by its number, and carried by heartbeats and greetings.

**Builds.** Members may be of different builds while a group is upgraded. HELLO tells which
versions of the protocol each speaks and is itself the same in all of them; every order to send
names the version to write in, the highest that both know. Who has none in common with us is greeted
and otherwise not there.

**Glossary.**

    owner        a node and its incarnation: a restart is another owner
    term         an election's number; used once; also the fencing *token* handed to the job
    lock         what an acceptor holds for a leader, for L
    lease        what a leader may act under; its end is the *deadline*
    lapse        the deadline passed without renewal
    release      "I no longer act, and my job has ended"
    quarantine   the silence of a restarted voter: a lock that it forgot may still live
    hearsay      a lock on a leader that only others can hear (open groups)
    last will    the RELEASE that the guardian sends for a dead agent

Where to read on: `election` (the loop, and what time brings), `learner` (what others say),
`proposer` (what a candidate and a leader do), `agenda` (when, and when not), `acceptor` and `lease`
(the two halves of the safety argument), `membership` (who is who), `pause` (what is known of one).
Sources: Trencseni, Gazso, Reinhardt, *PaxosLease* (arXiv 1209.4187, as revised in 2026); Raft's
check-quorum and leader stickiness; VRRP's resignation (RFC 9568); Lifeguard (doubt in oneself).
"""
