"""``ftl-agent check``: every fault of a configuration, or what it promises.

Promise: nothing is changed and no agent is asked. What ``check`` calls sound, ``run`` accepts.
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import Any

from followtheleader import cli
from followtheleader.cli import bound_units, locating, options, terminal
from followtheleader.cli.run import CONFIG_DIR, config_path
from followtheleader.config import advice, timeline
from followtheleader.config.durations import MS
from followtheleader.config.loader import examine
from followtheleader.config.promises import promises
from followtheleader.config.settings import Settings
from followtheleader.config.stages import stage
from followtheleader.meaning import DEFAULT_ROLE_FILE

USAGE = """\
usage: ftl-agent check [FILE|INSTANCE] [--json]

Print every fault of a configuration, a line for each; or, if it has none, what happens when if
the leader's host dies, freezes or is cut off, how long it takes if something else happens, what
such a group promises and what it cannot, and what is allowed but perhaps not meant. Without a
name: everything in /etc/ftl.

  --json  print one JSON object

Exit: 0 sound, 2 faulty.

Example:
  ftl-agent check ./svc.yaml
"""

_CASE = "the leader's host dies, freezes or is cut off"
_STEP_WIDTH = 20
_WAIT_WIDTH = 24
_TIME_WIDTH = 9


def main(argv: list[str]) -> int:
    """Check; return the exit code."""
    said = options.parse(argv, ("--json",), (), words=1)
    reports = [_Report(path, instance) for path, instance in _files(said.word())]
    _about_link(reports)
    _about_units(reports)
    if "json" in said:
        import json

        sound = all(report.settings for report in reports)
        print(json.dumps({"ok": sound, "files": [r.as_json() for r in reports]}, indent=2))
    else:
        paint, width = terminal.paint_for(sys.stdout), terminal.width_of(sys.stdout)
        print("\n\n".join(report.as_text(paint, width) for report in reports))
    return cli.YES if all(report.settings for report in reports) else cli.WRONG_USAGE


class _Report:
    """What is to be said of one file; ``settings`` is None if it has faults."""

    def __init__(self, path: str, instance: str | None) -> None:
        self.path = path
        found = examine(path, instance)
        self.settings, self.faults = found.settings, found.faults
        # Of a faulty file nothing is certain but its hooks, which are files of their own.
        self.warnings = (
            advice.warnings(found.settings)
            if found.settings
            else advice.hook_warnings(found.commands, found.hooks_dir)
        )

    def as_json(self) -> dict[str, Any]:
        about: dict[str, Any] = {"path": self.path, "ok": self.settings is not None}
        if self.settings is None:
            return {**about, "faults": self.faults, "warnings": self.warnings}
        settings = self.settings
        return {
            **about,
            "faults": [],
            "instance": settings.instance,
            "service": settings.service,
            "node": settings.node,
            "group": "quorum" if settings.voters else "open",
            "warnings": self.warnings,
            "timeline": _timeline_as_json(settings),
            "waits": [
                {"wait": key, "label": label, "ms": span / MS, "explanation": why}
                for key, label, span, why in timeline.waits(settings)
            ],
            "promises": promises(settings),
            "keys": {
                "file": settings.key_file,
                "mode": settings.key_mode if settings.key_file else "none",
                "names": [key.name for key in settings.keys],
                "explanation": stage(settings),
            },
        }

    def as_text(self, paint: terminal.Paint, width: int) -> str:
        warnings = [_warning(warning, paint, width) for warning in self.warnings]
        if self.settings is None:
            return "\n".join([*self.faults, *warnings])
        settings = self.settings
        group = f"quorum group of {', '.join(settings.voters)}" if settings.voters else "open group"
        lines = [
            f"{paint('green', 'sound')} {self.path}",
            f"      node {settings.node} of service {settings.service}, {group}",
        ]
        if why := advice.why_never_leads(settings):
            lines.append(f"      {why}: the times are those of a leader with the same settings")
        lines += ["", *_timeline(settings, paint, width)]
        lines += ["", paint("bold", "If something else happens")]
        lines += [_wait(wait, width) for wait in timeline.waits(settings)]
        lines += ["", paint("bold", "What this group promises")]
        lines += [_item(promise, width) for promise in promises(settings)]
        lines += ["", paint("bold", "What is signed"), _item(stage(settings), width)]
        return "\n".join([*lines, *warnings])


def _timeline_as_json(settings: Settings) -> dict[str, Any]:
    left = timeline.reserve(settings)
    return {
        "case": _CASE,
        "clocks_differ_percent": timeline.CLOCKS_OFF,
        "steps": [
            {
                "step": step.key,
                "label": step.label,
                "ms": step.at / MS,
                "worst_ms": step.worst / MS,
                "explanation": step.explanation,
            }
            for step in timeline.steps(settings)
        ],
        "job_ends_in_time": timeline.in_time(settings),
        "reserve_ms": None if left is None else left.exact / MS,
        "worst_reserve_ms": None if left is None else left.worst / MS,
        "verdict": timeline.verdict(settings),
    }


def _timeline(settings: Settings, paint: terminal.Paint, width: int) -> list[str]:
    """The steps as a table, and what follows from them."""
    steps = timeline.steps(settings)
    rows = [("exact", f"{timeline.CLOCKS_OFF}% off"), *timeline.columns(steps)]
    wide = max(_TIME_WIDTH, 1 + max(len(span) for row in rows for span in row))
    header, *times = ("".join(f"{span:>{wide}}" for span in row) for row in rows)
    header = f"  {'with clocks that are':<{_STEP_WIDTH}}{header}"
    lines = [paint("bold", f"If {_CASE}"), f"{header}  fast or slow, each the way that is worse"]
    for step, columns in zip(steps, times, strict=True):
        head = f"  {step.label:<{_STEP_WIDTH}}{columns}  "
        lines.append(_described(head, step.explanation, width))
    return [*lines, _described("  ", timeline.verdict(settings), width)]


def _wait(wait: timeline.Wait, width: int) -> str:
    span = timeline.show(wait.span, up=True)
    head = f"  {wait.label:<{_WAIT_WIDTH}}{span:>{_TIME_WIDTH}}  "
    return _described(head, wait.explanation, width)


def _item(text: str, width: int) -> str:
    return _described("  - ", text, width)


def _described(head: str, text: str, width: int) -> str:
    return textwrap.fill(
        text,
        max(width, len(head) + 30),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )


def _warning(warning: str, paint: terminal.Paint, width: int) -> str:
    text = textwrap.fill(
        warning,
        width,
        initial_indent="warning: ",
        subsequent_indent=" " * 9,
        break_on_hyphens=False,
    )
    return text.replace("warning:", paint("yellow", "warning:"), 1)


def _files(named: str | None) -> list[tuple[str, str | None]]:
    """Path and instance (None: the file's stem) of each file to check."""
    if named is None:
        return [(path, None) for path in _configured()]
    is_file = "/" in named or named.endswith((".yaml", ".yml")) or os.path.isfile(named)
    if is_file and not os.path.isfile(config_path(named)):
        return [(named, None)]
    wrong = locating.wrong_name(named)
    if wrong is not None:
        raise options.WrongUsage(f"{wrong}, and not an existing file")
    return [(config_path(named), named)]


def _configured() -> list[str]:
    found = _yaml_files(CONFIG_DIR)
    if not found:
        raise options.WrongUsage(
            f"nothing is configured in {CONFIG_DIR}; name a file, or make one: "
            f"ftl-agent example-config -o {config_path('svc')}"
        )
    return found


def link_warnings(configured: list[Settings]) -> dict[str, str]:
    """What is wrong with each role link if these are all the instances of a host: nobody makes it,
    or two do. A single instance makes the default one in any case."""
    found = {}
    for path in dict.fromkeys(settings.role_file for settings in configured):
        sharing = [settings for settings in configured if settings.role_file == path]
        primary = [settings.instance for settings in sharing if settings.primary]
        if len(sharing) < 2 or (path == DEFAULT_ROLE_FILE and len(primary) == 1):
            continue
        names = " and ".join(settings.instance for settings in sharing)
        if path != DEFAULT_ROLE_FILE:
            found[path] = f"role_file: {names} all name {path}, give each a path of its own"
        elif primary:
            found[path] = f"primary: {' and '.join(primary)} both claim {path}, keep one of them"
        else:
            found[path] = (
                f"primary: false in all instances here, so nobody makes {path}; choose one"
            )
    return found


def _about_units(reports: list[_Report]) -> None:
    """Units follow the instances of this host, whose files lie in its one place."""
    for report in reports:
        if report.settings and os.path.dirname(report.settings.path) == CONFIG_DIR:
            report.warnings += advice.untrusted(report.settings)
            report.warnings += advice.unreadable_keys(report.settings)
            report.warnings += bound_units.warnings(report.settings)


def _about_link(reports: list[_Report]) -> None:
    """Add the warning to those reports that it concerns."""
    concerned = [
        report
        for report in reports
        if report.settings and os.path.dirname(report.settings.path) == CONFIG_DIR
    ]
    if not concerned:
        return
    everything = [_Report(path, None).settings for path in _yaml_files(CONFIG_DIR)]
    wrong = link_warnings([settings for settings in everything if settings])
    for report in concerned:
        if report.settings and report.settings.role_file in wrong:
            report.warnings.append(wrong[report.settings.role_file])


def _yaml_files(folder: str) -> list[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".yaml"))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names]
