"""Runs the commands of one event, one after the other, each within its time limit.

A hook gets argv ``EVENT SERVICE ROLE TERM``, the ``FTL_*`` environment and the whole state as one
JSON line on stdin. It has a session of its own. When its time is up everything it has started is
ended: SIGTERM, 2 s, SIGKILL.

A failing command of another event than leader does not keep the next from running. A failing
on_leader does what ``on_failure`` says: ``step-down`` stops there, ``retry`` tries that command
again later, ``ignore`` goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from followtheleader.guardian import job, proc, spawn, words
from followtheleader.guardian.clock import MS, SECOND
from followtheleader.guardian.hooks import Commands, Hooks
from followtheleader.guardian.orphans import RUNTIME_DIR
from followtheleader.guardian.output import Output, Outputs
from followtheleader.guardian.post import Post
from followtheleader.guardian.queue import Item

KILL_AFTER = 2 * SECOND
RETRY_FIRST = SECOND
RETRY_LONGEST = 30 * SECOND

_NAME_LIMIT = 256

Tell = Callable[..., None]


class Outcome:
    """An event's hooks have ended. ``again``: it failed and is to be tried again."""

    __slots__ = ("again", "item", "ok")

    def __init__(self, item: Item, ok: bool, again: bool = False) -> None:
        self.item = item
        self.ok = ok
        self.again = again


class _Hook:
    """One command that runs."""

    def __init__(self, name: str, pid: int, family: job.Family, output: Output, now: int) -> None:
        self.name = name
        self.pid = pid
        self.family = family
        self.output = output
        self.started_at = now
        self.ended_at = now
        self.rc: int | None = None
        self.timed_out = False
        self.ending: job.Ending | None = None


class Runner:
    """The event whose hooks run now, if any.

    ``tell(kind, **fields)`` passes ``started``, ``ended`` and ``log`` on. ``may_start(item)`` is
    asked just before each command: it says why not, or nothing.
    """

    def __init__(
        self,
        post: Post,
        register: job.Register,
        outputs: Outputs,
        tell: Tell,
        may_start: Callable[[Item], str],
    ) -> None:
        self.item: Item | None = None
        self._post = post
        self._register = register
        self._outputs = outputs
        self._tell = tell
        self._may_start = may_start
        self._hooks: Hooks | None = None
        self._commands: Commands = ()
        self._hook: _Hook | None = None
        self._ok = True
        self._lost = False
        self._takes_unknown = False
        self._outcome: Outcome | None = None

    @property
    def pid(self) -> int:
        """The running hook's process, 0 if there is none."""
        return self._hook.pid if self._hook else 0

    def start(self, item: Item, hooks: Hooks, in_job: bool, now: int) -> None:
        """Begin with the first command of ``item``; ``in_job``: a leader's job exists."""
        self.item = item
        self._hooks = hooks
        self._commands = hooks.commands(item.event)
        self._ok = True
        self._lost = False
        self._takes_unknown = item.event == "leader" or not in_job
        self._next_command(item, hooks, now)

    def next_at(self) -> int | None:
        """When `step` has something to do; None if only the end of a hook brings that."""
        if self._outcome is not None:
            return 0
        if self._hook is None or self._lost:
            return None
        if self._hook.ending is not None:
            return self._hook.ending.next_at
        return self._hook.started_at + self._limit()

    def lose(self) -> None:
        """The role is lost: whoever ends the job ends this on_leader, and nothing follows it."""
        self._lost = True
        if self._hook is not None:
            self._hook.ending = None

    def on_exit(self, status: int, now: int) -> None:
        """The hook's own process has ended (wait status)."""
        if self._hook is not None:
            self._hook.rc = os.waitstatus_to_exitcode(status)
            self._hook.ended_at = now

    def step(self, now: int) -> Outcome | None:
        """Do what is due; the outcome once, when the event's last hook has ended."""
        if self._hook is not None:
            self._step_hook(self._hook, now)
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            self.item = None
        return outcome

    def _limit(self) -> int:
        return self._hooks.timeout if self._hooks else 0

    def _step_hook(self, hook: _Hook, now: int) -> None:
        late = hook.rc is None and now >= hook.started_at + self._limit()
        if late and hook.ending is None and not self._lost:
            hook.timed_out = True
            hook.ending = job.Ending(hook.family.members, now)
        if hook.ending is not None and not self._is_ended(hook.ending, now):
            return
        if hook.rc is not None:
            self._report_end(hook, hook.rc, now)

    def _is_ended(self, ending: job.Ending, now: int) -> bool:
        ended = ending.step(now, ending.began_at + KILL_AFTER)
        if ending.stubborn:
            self._tell("log", text=ending.stubborn)
        return ended

    def _report_end(self, hook: _Hook, rc: int, now: int) -> None:
        # Its last words before its end: the agent logs in the order of the lines.
        self._outputs.drain(hook.output, now)
        why = "timeout" if hook.timed_out else "lost" if self._lost else "exit"
        error = ""
        if hook.timed_out:
            error = f"took longer than {self._limit() / SECOND:g} s"
        elif rc:
            error = f"ended with status {rc}" if rc > 0 else f"was ended by signal {-rc}"
        self._hook = None
        item = self.item
        if item is not None:
            self._tell_end(item, hook.name, rc, hook.ended_at - hook.started_at, why, error)
            self._after_command(item, why == "exit" and rc == 0, now)

    def _tell_end(
        self, item: Item, hook: str, rc: int | None, span: int, why: str, error: str
    ) -> None:
        self._tell(
            "ended",
            change=item.change,
            event=item.event,
            hook=hook,
            rc=rc,
            ms=round(span / MS, 3),
            why=why,
            error=error,
        )

    def _after_command(self, item: Item, ok: bool, now: int) -> None:
        if self._lost or self._hooks is None:
            # Its end was not its own failure.
            self._outcome = Outcome(item, True)
            return
        if not ok and item.event == "leader" and self._hooks.on_failure != "ignore":
            self._outcome = self._failed(item, self._hooks.on_failure, now)
            return
        self._ok = self._ok and (ok or item.event == "leader")
        item.done += 1
        self._next_command(item, self._hooks, now)

    def _failed(self, item: Item, policy: str, now: int) -> Outcome:
        if policy != "retry":
            return Outcome(item, False)
        item.not_before = now + min(RETRY_FIRST << min(item.attempts, 10), RETRY_LONGEST)
        item.attempts += 1
        return Outcome(item, False, again=True)

    def _next_command(self, item: Item, hooks: Hooks, now: int) -> None:
        if item.done >= len(self._commands):
            self._outcome = Outcome(item, self._ok)
            return
        command = self._commands[item.done]
        told = words_for(item, hooks.service)
        last = (told[key].encode() for key in ("event", "service", "role", "term"))
        argv = (*map(os.fsencode, command), *last)
        name = command[0][:_NAME_LIMIT]
        try:
            if refusal := self._may_start(item) or self._post.refuses_to_run(command):
                raise spawn.SpawnFailed(refusal)
            family = job.Family(item.event_id, self._register, self._takes_unknown)
            env = environment(told, item, self._post)
            pid, readers = spawn.spawn(argv, env, _state_line(item, told["service"]))
        except (spawn.SpawnFailed, proc.Blind) as failure:
            self._tell_end(item, name, None, 0, "spawn", str(failure))
            self._after_command(item, False, now)
            return
        self._register.add(pid, item.event_id)
        output = Output(readers[0], item.change, item.event, name, now)
        self._outputs.add(output)
        self._hook = _Hook(name, pid, family, output, now)
        self._tell("started", change=item.change, event=item.event, hook=name, pid=pid)


def words_for(item: Item, service: str) -> dict[str, str]:
    """What a hook of ``item`` is told, by name: in its arguments, and as ``FTL_NAME``."""
    found = words.told(item.facts)
    known = {"leader": "leader", "follower": "follower"}
    found["role"] = found["role"] or known.get(item.event, "candidate")
    # UTF-8 whatever the configuration holds: this is all that a program can be told.
    service = service.encode("utf-8", "replace").decode()
    return found | {"event": item.event, "service": service}


def environment(told: dict[str, str], item: Item, post: Post) -> dict[bytes, bytes]:
    """What a hook of ``item`` finds in its environment."""
    fields = {f"FTL_{key.upper()}": text for key, text in told.items()}
    fields["FTL_INSTANCE"] = post.instance
    fields["FTL_EVENT_ID"] = item.event_id
    fields["FTL_REPLAY"] = "1" if item.replay else "0"
    env = spawn.clean_environment()
    env[RUNTIME_DIR.encode()] = os.fsencode(post.place)
    env.update({key.encode(): value.encode() for key, value in fields.items()})
    return env


def _state_line(item: Item, service: str) -> bytes:
    ours = {"service": service, "event": item.event, "event_id": item.event_id}
    return json.dumps({**item.facts, **ours, "change": item.change}).encode() + b"\n"
