"""The guardian has seen the lease run out, and the agent has not: nobody leads without a job."""

from __future__ import annotations

from agent.stand import Stand

LATE = """
import os
from followtheleader.guardian.link import GuardianLink
send = GuardianLink.send_lease
def withhold(self, *lease):
    if not os.path.exists({flag!r}):
        send(self, *lease)
GuardianLink.send_lease = withhold
"""


def test_renewals_that_are_lost_on_their_way(stand: Stand) -> None:
    """The election goes on renewing; only its guardian does not hear of it for a while."""
    flag = stand.folder / "withheld"
    node = stand.node()
    seen = stand.folder / "seen"
    told = f"until grep -qx follower {node.runtime}/role; do sleep 0.01; done; "
    told += f"ls {node.runtime} > {seen}; cat {node.runtime}/state.json >> {seen}; rm -f {flag}"
    node.configure(follower=told)
    node.start(code=LATE.format(flag=str(flag)))
    assert stand.wait_one_leader() is node
    term = node.status()["term"]
    flag.touch()
    stand.wait(lambda: stand.begun(node) == ["leader", "follower", "leader"], "it leads again")
    during = seen.read_text()
    assert "leader" not in during.splitlines()
    assert '"role": "follower"' in during.replace('":"', '": "')
    assert stand.lines(node)[1:3][1].reason == "lapsed"
    state = node.wait_role("leader")
    assert state["term"] > term
    assert (node.runtime / "leader").exists()
    assert "the guardian ended the job" in node.log
