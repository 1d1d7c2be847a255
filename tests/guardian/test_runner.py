"""The runner alone: what is asked just before a command starts."""

from __future__ import annotations

import os

from followtheleader.guardian import hooks, job
from followtheleader.guardian.output import Outputs
from followtheleader.guardian.post import Post
from followtheleader.guardian.queue import Item
from followtheleader.guardian.runner import Runner


def test_a_command_that_may_not_start() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    runner = Runner(
        Post("/etc/ftl/svc.yaml", "svc", "/run/ftl/svc"),
        job.Register(f"{os.getpid()}-", adopts=False),
        Outputs(lambda output, line: None, lambda: True),
        lambda kind, **fields: told.append((kind, fields)),
        lambda item: "the lease has run out",
    )
    configured = hooks.Hooks({"leader": (("/bin/false",),)}, 10**9, "step-down", "", "svc")
    item = Item("leader", 1, {}, "id")
    runner.start(item, configured, False, 0)
    outcome = runner.step(0)
    assert outcome is not None
    assert (outcome.item, outcome.ok, outcome.again) == (item, False, False)
    ((kind, fields),) = told
    assert (kind, fields["why"], fields["error"]) == ("ended", "spawn", "the lease has run out")
    assert runner.item is None


def test_the_printed_hooks_are_checked() -> None:
    commands = b'{"leader": [["/a", "b"]], "error": null}'
    good = b'{"commands": ' + commands + b', "default_dir": "", "service": "s"}'
    parsed = hooks.parse(good)
    assert parsed.commands("leader") == (("/a", "b"),)
    assert parsed.commands("error") == ()
    assert (parsed.timeout, parsed.on_failure) == (hooks.DEFAULT_TIMEOUT, "step-down")
    for bad in (
        b"",
        b"[]",
        b"{}",
        b'{"commands": {"leader": 7}, "default_dir": "", "service": "s"}',
        b'{"commands": {"leader": [[]]}, "default_dir": "", "service": "s"}',
        b'{"commands": {"leader": [["/a", 7]]}, "default_dir": "", "service": "s"}',
        b'{"commands": {}, "default_dir": null, "service": "s"}',
        b'{"commands": {}, "default_dir": "", "service": "s", "timeout": 0}',
        b'{"commands": {}, "default_dir": "", "service": "s\\u0000"}',
        b'{"commands": {}, "default_dir": ""}',
        b'{"commands": {}, "default_dir": "", "service": "s", "on_failure": "panic"}',
    ):
        try:
            hooks.parse(bad)
        except hooks.BadHooks:
            continue
        raise AssertionError(f"accepted: {bad!r}")
