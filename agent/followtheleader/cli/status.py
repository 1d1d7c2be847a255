"""``ftl-agent status``: one screen that answers "am I fine?".

Promise: what is shown is what the agent itself has just said, in the order in which an operator
asks: who leads, since when and why, how long that holds, who is seen, what went wrong.
"""

from __future__ import annotations

import sys
import time

from followtheleader import cli
from followtheleader.cli import locating, options, terminal
from followtheleader.errors import NoAnswer
from followtheleader.host import client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from followtheleader.cli.terminal import Paint

    Facts = dict[str, Any]

USAGE = """\
usage: ftl-agent status [INSTANCE] [--json] [--runtime-dir DIR]

Show what the agent on this host says of itself and its group: role, leader, since when and why,
lease, quorum, members, the last hook, problems. Without INSTANCE: the only one that runs.

  --json             print everything as one JSON object
  --runtime-dir DIR  where the agent keeps its sockets (default /run/ftl/INSTANCE)

Exit: 0 an agent answers, whatever its role, 2 wrong usage, 3 none answers within a second.

Example:
  ftl-agent status svc
"""


ODD = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
"""What an answer that is not ours can set off; `OSError` by a date that there is not."""


def main(argv: list[str]) -> int:
    """Show the status; return the exit code."""
    said = options.parse(argv, ("--json",), ("--runtime-dir",), words=1)
    try:
        answer = _ask(said.word(), said.values.get("runtime-dir"))
    except NoAnswer as nobody:
        if "json" not in said:
            raise
        _print_json({"instance": said.word(), "error": str(nobody)})
        return cli.NO_ANSWER
    try:
        if "json" in said:
            _print_json(answer)
            return cli.YES
        screen = render(answer, terminal.paint_for(sys.stdout), time.time())
    except ODD as odd:
        raise NoAnswer(
            f"the answer is not of this version of ftl-agent ({terminal.clean(odd)}); see --json"
        ) from odd
    print(screen)
    return cli.YES


def _ask(instance: str | None, runtime_dir: str | None) -> Facts:
    path = locating.status_socket(instance, runtime_dir)
    answer = client.ask(path, {"command": "status"}, cli.ANSWER_WITHIN)
    if "role" not in answer:
        raise NoAnswer(f"{path}: {terminal.clean(answer.get('error', 'no status in the answer'))}")
    return answer


def _print_json(answer: Facts) -> None:
    import json

    print(json.dumps(answer, indent=2))


def render(answer: Facts, paint: Paint, wall_now: float) -> str:
    """The screen for the agent's ``answer``; ``wall_now``: seconds since 1970, for "ago"."""
    answer = terminal.cleaned(answer)
    facts = [
        ("Leader", _leader(answer)),
        ("Lease", _lease(answer)),
        ("Quorum", _quorum(answer)),
        ("Sits out", _sitting_out(answer)),
        ("Keys", _keys(answer)),
        ("Reason", terminal.clean(answer.get("reason", ""))),
        ("Last hook", _last_hook(answer, wall_now)),
        ("Agent", _agent(answer)),
    ]
    lines = [_headline(answer, paint, wall_now)]
    lines += [f"{name:>11}: {text}" for name, text in facts if text]
    lines += ["", paint("bold", "Members"), _members(answer)]
    problems = [terminal.clean(problem) for problem in answer.get("problems") or []]
    if problems:
        lines += ["", paint("bold", "Problems")]
        lines += [f"  {paint('yellow', '!')} {problem}" for problem in problems]
    return "\n".join(lines)


def _headline(answer: Facts, paint: Paint, wall_now: float) -> str:
    role = terminal.clean(answer["role"])
    colour = "red" if not answer.get("leader") else "yellow" if answer.get("problems") else "green"
    parts = [paint("bold", role), f"term {terminal.clean(answer.get('term', '?'))}"]
    if answer.get("leaving"):
        parts.append("leaving")
    since_ms = answer.get("since_ms")
    if since_ms is not None:
        began = time.localtime(wall_now - since_ms / 1000)
        parts.append(f"since {time.strftime('%Y-%m-%d %H:%M:%S %Z', began)}")
        parts.append(f"{terminal.span(since_ms)} ago")
    named = f"{terminal.clean(answer.get('instance', '?'))} on {_node(answer)}"
    service = terminal.clean(answer.get("service", ""))
    if service and service != answer.get("instance"):
        named += f" (service {service})"
    return f"{paint(colour, '●')} {named}: {', '.join(parts)}"


def _node(answer: Facts) -> str:
    return terminal.clean(answer.get("node", "this host"))


def _leader(answer: Facts) -> str:
    leader = answer.get("leader")
    if not leader:
        return "none known"
    parts = [terminal.clean(leader.get("name", "?"))]
    if leader.get("id") == answer.get("id"):
        parts[0] += " (this node)"
    if leader.get("address"):
        parts.append(terminal.clean(leader["address"]))
    if not leader.get("direct", True):
        parts.append("by hearsay: not heard itself")
    return ", ".join(parts)


def _lease(answer: Facts) -> str:
    left = answer.get("lease_left_ms")
    return "" if left is None else f"{terminal.span(left)} left"


def _quorum(answer: Facts) -> str:
    quorum = answer.get("quorum")
    if not quorum:
        return ""
    voters, support, needed = quorum["voters"], quorum.get("support"), quorum.get("needed")
    text = f"{support} of {len(voters)} voters connected, {needed} needed"
    return f"{text}; in quarantine after its start" if quorum.get("quarantined") else text


def _sitting_out(answer: Facts) -> str:
    left = answer.get("sits_out_ms")
    return f"does not claim for {terminal.span(left)} more; the log says why" if left else ""


def _keys(answer: Facts) -> str:
    keys = answer.get("keys")
    if not keys:
        return ""
    if keys["mode"] == "none":
        return "none: whoever is on this network can move roles"
    signs, accepts = keys["signs_with"], keys["accepts"]
    others = [name for name in accepts if name != signs]
    parts = [f"signs with {signs}" if signs else "sends unsigned"]
    parts += [f"accepts {'also ' if signs else ''}{', '.join(others)}"] if others else []
    parts += ["nothing unsigned counts" if keys["protected"] else "unsigned still counts"]
    return terminal.clean(", ".join(parts))


def _last_hook(answer: Facts, wall_now: float) -> str:
    hook = answer.get("last_hook")
    if not hook:
        return ""
    why, rc = hook.get("why"), hook.get("rc")
    outcome = f"exit status {rc}" if why == "exit" else f"ended early ({why})"
    after = "" if hook.get("ms") is None else f" after {terminal.span(hook['ms'])}"
    at = hook.get("at")
    ago = "" if at is None else f"; {terminal.span(wall_now * 1000 - at)} ago"
    return terminal.clean(f"on_{hook.get('event')} {hook.get('hook')}: {outcome}{after}{ago}")


def _agent(answer: Facts) -> str:
    on = f" on {', '.join(answer['interfaces'])}" if answer.get("interfaces") else ""
    return terminal.clean(
        f"version {answer.get('version')}, pid {answer.get('pid')}, "
        f"UDP port {answer.get('port')}{on}"
    )


def _signature(answer: Facts, member: Facts) -> list[str]:
    """How a member signs, where that is not as this node does."""
    keys = answer.get("keys") or {}
    signed = keys.get("members", {})
    if member["id"] not in signed or signed[member["id"]] == keys.get("signs_with"):
        return []
    key = signed[member["id"]]
    return [f"signs with {terminal.clean(key)}" if key else "unsigned"]


def _members(answer: Facts) -> str:
    voters = (answer.get("quorum") or {}).get("voters") or ()
    own = {
        "name": answer.get("node"),
        "id": answer.get("id"),
        "priority": answer.get("priority"),
        "witness": answer.get("witness"),
        "voter": answer.get("node") in voters,
    }
    others = [member for member in answer.get("members") or [] if member["id"] != own["id"]]
    rows = [("NODE", "ADDRESS", "PRIORITY", "HEARD", "")]
    rows += [_member(answer, member) for member in [own, *others]]
    return terminal.table(rows, right=(2,))


def _member(answer: Facts, member: Facts) -> tuple[str, str, str, str, str]:
    heard, leader = member.get("heard_ms_ago"), answer.get("leader") or {}
    notes = ["leader"] if leader.get("id") == member["id"] else []
    if member["id"] == answer.get("id"):
        seen = "this node"
    else:
        seen = "never" if heard is None else f"{terminal.span(heard)} ago"
        notes += [] if member.get("alive") else ["silent"]
    notes += ["witness"] if member.get("witness") else []
    if answer.get("quorum") and not member.get("voter"):
        notes.append("not a voter")
    notes += _signature(answer, member)
    notes += ["other voters"] if member.get("other_voters") else []
    notes += ["doubled"] if member.get("doubled") else []
    notes += ["other timing"] if member.get("other_timing") else []
    name, address = (terminal.clean(member.get(key) or "") for key in ("name", "address"))
    priority = member.get("priority")
    return name, address, "" if priority is None else str(priority), seen, ", ".join(notes)
