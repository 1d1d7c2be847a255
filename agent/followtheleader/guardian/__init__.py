"""The guardian: the small process that outlives the agent and ends its job.

It runs the hooks one at a time, holds the leader's deadline, sees the agent die, and then does what
the agent no longer can: it unlinks the state files, ends the job, runs on_follower, and sends the
last will. It takes facts from the agent, never a command or a path.

    messages.py   the lines both ways
    lease.py      until when the job may run (pure)
    queue.py      which hook runs next (pure);  turns.py  runs it, and settles its event
    tenure.py     the role as told by the agent, and losses seen before it tells them
    hooks.py      the commands of each event, read by a short-lived child;  source.py  when, and
                  what counts if they cannot be read
    runner.py     the commands of one event: order, time limit, failure
    output.py     a hook's output as bounded lines
    proc.py       what /proc says;  job.py  a whole family of processes, and its end
    custody.py    the leader's job from its begin to its end;  orphans.py  one that nobody remembers
    target.py     what is bound to ftl-leader@INSTANCE.target: started, stopped, waited for
    home.py       the directory of its own and the lock;  files.py  small files, state files
    record.py     what the next guardian must know;  lastwill.py  the deposited datagrams
    post.py       whose instance it guards, with whose rights
    program.py    the poll loop that joins them (``python -m followtheleader.guardian``)
    door.py       as root's unit: the socket, and who is let in;  manager.py  its word to systemd
    link.py       the agent's side, of a guardian that is its child and of one that is a unit;
                  estate.py  what a child that was killed has left to the agent

All but these two is the program itself: standard library only, one thread, no asyncio, and small
enough to stay in memory when nothing else does.
"""
