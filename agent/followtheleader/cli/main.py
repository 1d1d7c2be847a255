"""``ftl-agent COMMAND …``: finds the command, runs it, turns what goes wrong into an exit code.

Whatever an operator or a host can cause ends in words on stderr and an exit code of PRODUCT's
table (in ``followtheleader.cli``), never in a traceback.
"""

from __future__ import annotations

import sys

from followtheleader import __version__, cli
from followtheleader.cli import streams
from followtheleader.cli.options import HelpWanted, WrongUsage, near_miss
from followtheleader.errors import ConfigError, FtlError, InvariantBroken, NoAnswer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = {
    "run": "the agent, in the foreground",
    "demo": "three agents on loopback: an election, a crash, a freeze, measured",
    "status": "who leads, since when, who is seen: am I fine?",
    "is-leader": "exit 0 if this host leads, 1 if not, 3 if no agent answers",
    "fence": "run a command unless a newer leader has been there",
    "bind": "have a unit run on the leader only",
    "unbind": "undo that",
    "check": "every fault of a configuration, or what it promises",
    "keygen": "a key with which the members of a group sign",
    "example-config": "a configuration to start from",
    "schema": "the configuration as a JSON schema, for editors",
}

ONLY_FOR_AN_AUDIENCE = ("demo",)
"""Commands that stop when nobody sees what they print."""
ANSWERS_BY_EXIT_CODE = ("is-leader",)
"""Commands whose exit code is the answer: what they print may be lost, and it stays true."""

BROKEN_PIPE = 128 + 13
INTERRUPTED = 128 + 2


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's); return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    with streams.Guard() as out:
        return _answer(words, out)


def _answer(words: list[str], out: streams.Stream) -> int:
    out.needed = bool(words) and words[0] in ONLY_FOR_AN_AUDIENCE
    try:
        code = _run(words)
    except streams.OutputLost:
        code = cli.NO
    except KeyboardInterrupt:
        code = INTERRUPTED
    out.needed = False
    out.flush()
    return code if out.lost is None else _without_output(code, out.lost, words)


def _without_output(code: int, lost: OSError | ValueError, words: list[str]) -> int:
    """The exit code if what was printed is ``lost``, for which a reader may have had reasons."""
    if isinstance(lost, BrokenPipeError):
        # Whoever read us has seen enough (`| head`). The answer stays what it was: `is-leader`
        # must not turn into a yes, nor into a no, because nobody reads its word.
        return BROKEN_PIPE if words[0] in ONLY_FOR_AN_AUDIENCE else code
    _say(f"ftl-agent: standard output: {getattr(lost, 'strerror', None) or lost}")
    return cli.NO if code == cli.YES and words[0] not in ANSWERS_BY_EXIT_CODE else code


def _run(words: list[str]) -> int:
    if not words:
        _say(_overview())
        return cli.WRONG_USAGE
    name, *rest = words
    if name in ("-h", "--help"):
        print(_overview())
        return cli.YES
    if name in ("-V", "--version"):
        print(f"ftl-agent {__version__}")
        return cli.YES
    if name == "help":
        return _help(rest)
    if name not in COMMANDS:
        kind = "option" if name.startswith("-") else "command"
        return _wrong("ftl-agent", f"no such {kind}: {name}{near_miss(name, COMMANDS)}", "")
    return _run_command(name, rest)


def _run_command(name: str, rest: list[str]) -> int:
    usage, command = load(name)
    try:
        return command(rest)
    except HelpWanted:
        print(usage, end="")
        return cli.YES
    except WrongUsage as wrong:
        return _wrong(f"ftl-agent {name}", str(wrong), f" {name}")
    except NoAnswer as nobody:
        _say(f"ftl-agent {name}: {nobody}")
        return cli.NO_ANSWER
    except ConfigError as wrong:
        _say(str(wrong))
        return cli.WRONG_USAGE
    except InvariantBroken:
        raise  # a defect of ours: the traceback is what there is to say
    except FtlError as wrong:
        _say(f"ftl-agent {name}: {wrong}")
        return cli.WRONG_USAGE


def load(name: str) -> tuple[str, Callable[[list[str]], int]]:
    """The help text and the function of a command; imports that command alone.

    Spelled out, because importlib would cost is-leader half a millisecond.
    """
    if name == "is-leader":
        from followtheleader.cli import is_leader

        return is_leader.USAGE, is_leader.main
    if name == "status":
        from followtheleader.cli import status

        return status.USAGE, status.main
    if name == "run":
        from followtheleader.cli import run

        return run.USAGE, run.main
    if name == "check":
        from followtheleader.cli import check

        return check.USAGE, check.main
    if name == "example-config":
        from followtheleader.cli import example_config

        return example_config.USAGE, example_config.main
    if name == "keygen":
        from followtheleader.cli import keygen

        return keygen.USAGE, keygen.main
    if name == "fence":
        from followtheleader.cli import fence

        return fence.USAGE, fence.main
    if name in ("bind", "unbind"):
        from followtheleader.cli import bind

        if name == "unbind":
            return bind.UNBIND_USAGE, bind.unbind
        return bind.USAGE, bind.main
    if name == "schema":
        from followtheleader.cli import schema

        return schema.USAGE, schema.main
    from followtheleader.cli import demo

    return demo.USAGE, demo.main


def _help(words: list[str]) -> int:
    if not words:
        print(_overview())
        return cli.YES
    name = words[0]
    if name not in COMMANDS:
        return _wrong("ftl-agent help", f"no such command: {name}{near_miss(name, COMMANDS)}", "")
    print(load(name)[0], end="")
    return cli.YES


def _overview() -> str:
    lines = ["usage: ftl-agent COMMAND [INSTANCE] …", ""]
    lines += [f"  {name:<16}{does}" for name, does in COMMANDS.items()]
    lines += [
        "",
        "ftl-agent help COMMAND tells more, with an example; --version tells the version.",
    ]
    lines += ["INSTANCE is the stem of /etc/ftl/INSTANCE.yaml; left out, the only one that runs."]
    return "\n".join(lines)


def _wrong(who: str, what: str, helped: str) -> int:
    _say(f"{who}: {what}\nTry: ftl-agent help{helped}")
    return cli.WRONG_USAGE


def _say(text: str) -> None:
    print(text, file=sys.stderr)
