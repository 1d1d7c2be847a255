"""What the agent needs of its host: the clock, its directories, files, local sockets, and log.

Everything here does IO at once and in the caller's thread; nothing decides anything about the
election. A disk or an operator that is in the way raises `StateError` (or `InstanceRunning`), whose
text names the path, the reason and the cure; what only informs (log, sd_notify) never raises.
``token_file`` and ``keeper`` are for a command: a file that all hosts share, and who holds it.
"""
