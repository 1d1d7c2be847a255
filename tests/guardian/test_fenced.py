"""A job behind ``fence``: how it is asked to end, and that its lock ends with it."""

from __future__ import annotations

import sys
from pathlib import Path

import followtheleader
from guardian.stand import Stand, wait_until

JOB = """
import os, signal, sys
os.closerange(3, 1000)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("armed", file=open(sys.argv[1], "w"))
asked = 1
signal.sigwait([signal.SIGTERM])
while signal.sigtimedwait([signal.SIGTERM], 0.5):
    asked += 1
print(asked, file=open(sys.argv[1], "w"))
"""


def test_a_fenced_job_is_asked_once_and_its_lock_ends_before_on_follower(stand: Stand) -> None:
    said, file = stand.folder / "said", stand.folder / "token"
    job = stand.folder / "job.py"
    job.write_text(JOB)
    ours = Path(followtheleader.__file__).parents[1]
    fence = (
        f"env PYTHONPATH={ours} {sys.executable} -P -m followtheleader fence --token-file {file}"
    )
    stand.configure(
        leader=f"exec {fence} -- {sys.executable} {job} {said}",
        follower=f"{fence} --token 2 --wait 0s -- true || say refused",
    )
    agent = stand.start()
    agent.do(do="lease", span=60_000_000_000, stop_timeout=2_000_000_000, quorum=False)
    leading = {"role": "leader", "old_role": "follower", "term": 1, "token": 1}
    agent.event("leader", 1, **leading)
    wait_until(lambda: said.exists() and said.read_text() == "armed\n", "the job has begun")
    assert file.read_text().strip() == "1"
    agent.follow(2)
    agent.wait("settled", change=2, ok=True)
    assert said.read_text() == "1\n"
    assert [line.what for line in stand.lines()] == ["begin", "begin", "end"]
    assert file.read_text().strip() == "2"
