"""The command line ``ftl-agent``: one file per command.

    main            chooses the command; the only file that knows them all
    options         words and options of a command, and what to say when they are wrong
    locating        which running instance is meant
    streams         what is printed when nobody can take it
    terminal        colour, tables, and spans of time for people
    run             the agent itself, in the foreground
    demo            three agents, a crash, a freeze, a stop: measured (demo_group, demo_log, …)
    status          one screen: am I fine?
    is_leader       a yes or no for scripts and units
    fence           a command that an outdated leader cannot run
    bind            a unit that runs on the leader only, and unbind
    check           every fault of a configuration, or what it promises (bound_units)
    example_config  a configuration to start from

Promise: a command that reads changes nothing, takes ``--json``, and never waits longer than a
second for an agent unless told to. Units and shell loops call these commands, so each file imports
only what its own command needs, and the options are parsed without argparse: its import alone
would cost as much as half an interpreter.
"""

from __future__ import annotations

YES = 0
"""Yes, or done."""
NO = 1
"""No."""
WRONG_USAGE = 2
"""The command line or the configuration is wrong."""
NO_ANSWER = 3
"""No agent answers."""
TIMED_OUT = 4
"""What was waited for has not come in time."""
BAD_START = 78
"""The agent cannot start as configured (EX_CONFIG); a supervisor must not try again."""

ANSWER_WITHIN = 1.0
"""Seconds that a command waits for an agent; one that is well answers in a millisecond."""
