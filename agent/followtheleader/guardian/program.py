"""The guardian's loop: wait, read, act. One thread, and no step of it blocks.

    wait   poll: the agent's connection and its pidfd, signals, the output of hooks
    read   take what has come; it changes only what we know
    act    do what follows from that and from the clock, in the order of `Guardian._act`

Nothing is decided before all that has come is read: a renewal that waits in the socket counts, and
a goodbye that waits there keeps the will from being sent.
"""

from __future__ import annotations

import os
import select
import signal

from followtheleader.guardian import clock, files, job, lastwill, messages, proc, record, signals
from followtheleader.guardian.client import Client
from followtheleader.guardian.clock import MS, SECOND
from followtheleader.guardian.custody import Custody
from followtheleader.guardian.orphans import Orphans
from followtheleader.guardian.output import Outputs
from followtheleader.guardian.queue import Item, Queue
from followtheleader.guardian.runner import Outcome, Runner
from followtheleader.guardian.source import Source
from followtheleader.guardian.voice import Voice

# While somebody may lead here, look at the clock this often: poll's own clock stops in suspend.
WATCH_INTERVAL = 50 * MS
LOCK_INTERVAL = 10 * MS
EARLY_KEPT = 256
# How long an agent whose connection has ended, or that we leave, may take to end itself.
PARTING_PATIENCE = 2 * SECOND


class Refused(Exception):
    """The guardian cannot do its work; the text names the place, the value and the cure."""


class Guardian:
    """One instance's guardian, on the connection ``fd``. Raise `StateError` for its directory."""

    def __init__(self, config: str, instance: str, runtime_dir: str, fd: int) -> None:
        self._runtime_dir = runtime_dir
        self._directory = files.own_directory(runtime_dir)
        self._lock = files.Lock(self._directory)
        self._signals = signals.catch()
        self._client = Client(fd)
        self._voice = Voice(self._client.channel, instance)
        self._outputs = Outputs(self._voice.pass_output, self._client.channel.has_room)
        self._event_prefix = record.own_prefix()
        self._events = 0
        register = job.Register(self._event_prefix, job.become_subreaper())
        self._runner = Runner(
            instance, runtime_dir, register, self._outputs, self._voice.tell, self._may_start
        )
        self._queue = Queue()
        log = self._voice.log
        self._custody = Custody(
            record.Record(self._directory, os.path.join(runtime_dir, "guardian")),
            register,
            Orphans(instance, runtime_dir),
            log,
        )
        self._lease = self._custody.lease
        self._will = lastwill.LastWill(self._directory)
        self._source = Source(config, instance, self._directory, register, log, clock.now())
        self._leading: Item | None = None  # the last role event, if it was leader
        self._own_loss: Item | None = None  # the loss that we saw before the agent told it
        self._last_change = -1
        self._early: list[messages.EventHappened] = []  # events that came before we were ready
        self._inherited = False
        self._replayed = False
        self._ready = False
        self._unlinked = False
        self._stopping_at: int | None = None
        self._leaves_now = False
        self._blind = ""
        self._done = False

    def run(self) -> None:
        """Serve until everything owed is done and the agent is gone. Raise `Refused`."""
        while not self._done:
            fds = self._wait(clock.now())
            self._read(fds, clock.now())
            self._act(clock.now())
        self._client.channel.flush()

    # Wait.

    def _wait(self, now: int) -> list[int]:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if self._lock.held and not self._client.channel.eof:
            writing = select.POLLOUT if self._client.channel.wants_write else 0
            poll.register(self._client.channel.fd, select.POLLIN | writing)
        if self._client.pidfd >= 0:
            poll.register(self._client.pidfd, select.POLLIN)
        for fd in [*self._outputs.readable(now), *self._source.fds]:
            poll.register(fd, select.POLLIN)
        due = self._next_at(now)
        # Rounded up: a wake before the instant would find nothing to do.
        timeout = None if due is None else max(0, -((now - due) // MS))
        return [fd for fd, _ in poll.poll(timeout)]

    def _next_at(self, now: int) -> int | None:
        """The earliest instant at which there is something to do without any news."""
        due = [self._runner.next_at(), self._outputs.next_at(now), self._queue.next_at(now)]
        if not self._lock.held:
            due.append(now + LOCK_INTERVAL)
        if self._leading is not None or self._custody.job is not None or self._blind:
            due += [now + WATCH_INTERVAL, self._lease.deadline if self._leading else None]
        due += [self._custody.next_at, self._source.next_at()]
        for since in (self._client.eof_at, self._stopping_at):
            if since is not None and since + PARTING_PATIENCE > now:
                due.append(since + PARTING_PATIENCE)
        return min((at for at in due if at is not None), default=None)

    # Read.

    def _read(self, fds: list[int], now: int) -> None:
        for fd in fds:
            if fd == self._signals:
                self._take_signals(now)
            elif fd in self._source.fds:
                self._source.read(fd)
            else:
                self._outputs.read(fd, now)
        if self._lock.held:
            self._read_client(now)

    def _read_client(self, now: int) -> None:
        self._client.channel.flush()
        self._client.read(now, self._take_line)
        if self._client.channel.overlong:
            self._client.channel.overlong = 0
            self._voice.log(f"a line of more than {messages.LINE_LIMIT} bytes was dropped")

    def _take_signals(self, now: int) -> None:
        numbers = signals.take(self._signals)
        if signal.SIGTERM in numbers and self._stopping_at is None:
            self._stopping_at = now
        if signal.SIGHUP in numbers:
            self._source.reload()
        if signal.SIGCHLD in numbers:
            self._reap(now)

    def _reap(self, now: int) -> None:
        """Collect every child that has ended: hooks, and the orphans that we adopted."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._runner.pid:
                self._runner.on_exit(status, now)
            else:
                self._source.on_exit(pid, os.waitstatus_to_exitcode(status))

    def _take_line(self, line: bytes) -> None:
        try:
            message = messages.parse(line)
        except messages.BadMessage as fault:
            self._voice.log(f"message dropped: {fault}")
        else:
            self._take(message)

    def _take(self, message: messages.Message) -> None:
        """Obey, or say why not: whatever the agent sends, we go on."""
        try:
            self._obey(message, clock.now())
        except messages.BadMessage as fault:
            self._voice.log(f"message dropped: {fault}")
        except lastwill.BadWill as fault:
            self._voice.log(f"last will refused, the earlier one is kept: {fault}")
        except proc.Blind as fault:
            self._look_again(fault)

    def _obey(self, message: messages.Message, now: int) -> None:
        match message:
            case messages.Hello():
                self._client.watch(message.pid)
            case messages.LeaseGranted():
                self._renew(message, now)
            case messages.EventHappened() if self._ready:
                self._take_event(message, now)
            case messages.EventHappened():
                self._early = [*self._early[-EARLY_KEPT + 1 :], message]
            case messages.WillDeposited():
                self._deposit(lastwill.check(message.datagrams))
            case messages.Ping():
                self._voice.tell("pong")
            case messages.Bye():
                self._client.bye = True
                self._will.drop()

    def _renew(self, told: messages.LeaseGranted, now: int) -> None:
        if not self._lease.renew(told.deadline, told.stop_timeout, told.quorum, now):
            raise messages.BadMessage(f"lease: deadline {told.deadline} is too far away")

    def _deposit(self, datagrams: list[lastwill.Datagram]) -> None:
        if self._client.identity is None:
            raise messages.BadMessage("will: hello comes first")
        try:
            self._will.deposit(datagrams, self._client.identity)
        except OSError as error:
            self._voice.log(f"last will kept in memory only: {lastwill.FILE}: {error.strerror}")

    def _take_event(self, message: messages.EventHappened, now: int) -> None:
        item = self._item(message.event, message.change, message.facts)
        if item.event in ("leader", "follower"):
            if item.change <= self._last_change:
                told = f"change {item.change} is not newer than {self._last_change}"
                raise messages.BadMessage(f"event {item.event}: {told}")
            self._last_change = item.change
        if item.event == "follower":
            self._take_follower(item, now)
        elif item.event == "leader":
            self._take_leader(item, now)
        else:
            self._queue.push(item)

    def _take_follower(self, item: Item, now: int) -> None:
        known, self._own_loss = self._own_loss, None
        if known is None:
            self._leading = None
            self._queue.push(item)
            self._end_job(now)
        elif known.finished:
            self._settle(item.change, item.event, True)
        else:
            known.absorb(item)

    def _take_leader(self, item: Item, now: int) -> None:
        if self._client.bye:
            self._settle(item.change, item.event, False)
            return
        if self._stopping_at is not None:
            # Not a failure of its on_leader: the next guardian will be told of it again.
            self._leaves_now = True
            return
        if self._leading is not None:
            # Not by a correct agent; but no two on_leader without an on_follower between them.
            self._queue.push(self._loss_of(self._leading, "superseded"))
            self._end_job(now)
        self._own_loss = None
        self._leading = item
        self._queue.push(item)

    def _item(self, event: str, change: int, facts: dict[str, object]) -> Item:
        self._events += 1
        return Item(event, change, facts, f"{self._event_prefix}{self._events}")

    # Act.

    def _act(self, now: int) -> None:
        self._custody.step(now)  # before anything else: its time may be up
        if not self._lock.held:
            if not self._lock.take():
                self._done = self._stopping_at is not None
                return
            self._read_client(now)  # an agent that still leads says until when
        self._prepare(now)
        self._notice_loss(now)
        self._custody.step(now)
        self._run_hooks(now)
        if self._get_ready():
            self._act(now)  # with the events that came before
            return
        self._custody.note(now)
        self._part(now)

    def _prepare(self, now: int) -> None:
        """What comes before serving: the agent, the earlier guardian's business, and the hooks."""
        try:
            self._client.watch_again()
            if not self._inherited:
                self._inherit(now)
            self._take_hooks(now)
        except proc.Blind as fault:
            self._look_again(fault)
        else:
            self._blind = ""

    def _look_again(self, fault: proc.Blind) -> None:
        """Nothing can be concluded from what could not be seen: later once more."""
        if self._blind != str(fault):
            self._blind = str(fault)
            self._voice.log(f"{fault}; tried again until it can be")

    def _take_hooks(self, now: int) -> None:
        self._source.step(now)
        agent = self._client.identity
        if agent is not None:
            self._source.keep(agent)
        if not self._source.refusal:
            return
        if agent is not None and self._source.fall_back(agent):
            return
        waits = agent is None and not self._client.channel.eof
        if not waits and not self._custody.is_ending:
            raise Refused(self._source.refusal)

    def _get_ready(self) -> bool:
        """Say that this host's job does not run, once that is so and hooks can run."""
        busy = self._queue.waiting or self._runner.item or self._custody.job
        if self._ready or busy or not self._inherited:
            return False
        if self._client.identity is None or self._source.hooks is None:
            return False
        self._release()
        self._ready = True
        self._voice.tell("ready", last=self._custody.last, replayed=self._replayed)
        early, self._early = self._early, []
        for message in early:
            self._take(message)
        return True

    def _inherit(self, now: int) -> None:
        if fault := self._will.inherit():
            self._voice.log(fault)
        lost = self._custody.inherit(now)
        self._inherited = True
        if lost is not None:
            self._replayed = True
            item = self._loss_of(lost, "replay")
            item.replay = True
            self._queue.push(item)

    def _notice_loss(self, now: int) -> None:
        client = self._client
        if client.died:
            self._voice.deaf = True
            if not client.bye:
                self._unlink_once()
        if self._leading is None:
            return
        if client.bye and (client.died or client.channel.eof):
            self._lose("agent-left", now)
        elif client.died:
            self._lose("agent-died", now)
        elif self._stopping_at is not None:
            self._lose("guardian-stopped", now)
        elif not self._lease.holds(now):
            self._lose("lapsed", now)

    def _lose(self, reason: str, now: int) -> None:
        """The role is lost and the agent has not told us so: do all of it ourselves."""
        lost, self._leading = self._leading, None
        if lost is None:
            return
        self._end_job(now)
        if self._lease.kill_at(now) <= now:
            self._custody.step(now)  # its time is up: first of all, SIGKILL
        if not self._client.died:
            self._unlinked = False
        self._unlink_once()
        self._voice.tell("expired", deadline=self._lease.deadline or 0)
        self._own_loss = self._loss_of(lost, reason)
        self._queue.push(self._own_loss, urgent=True)

    def _unlink_once(self) -> None:
        if not self._unlinked:
            self._unlinked = True
            for fault in files.unlink_state_files(self._runtime_dir):
                self._voice.log(fault)

    def _loss_of(self, lost: Item, reason: str) -> Item:
        facts = {
            **lost.facts,
            "role": "follower",
            "old_role": "leader",
            "leader": "",
            "leader_address": "",
            "reason": reason,
        }
        return self._item("follower", lost.change, facts)

    def _end_job(self, now: int) -> None:
        if self._runner.item is not None and self._runner.item.event == "leader":
            self._runner.lose()
        self._custody.end(now)

    def _run_hooks(self, now: int) -> None:
        """Hooks that have ended, and those that come next, until one runs or none is left."""
        while True:
            outcome = self._runner.step(now)
            if outcome is not None:
                self._take_outcome(outcome)
            if self._runner.item is not None or not self._start_next(now):
                return

    def _start_next(self, now: int) -> bool:
        item, hooks = self._queue.peek(now), self._source.hooks
        if item is None or hooks is None or self._custody.is_ending:
            return False
        if not (self._ready or item.replay):
            return False
        if item.event == "leader" and not self._begin_job(item):
            return False
        self._queue.start(item)
        if item.event != "follower":
            self._settle_absorbed(item)
        self._runner.start(item, hooks, self._custody.job is not None, now)
        self._custody.look_again()
        return True

    def _begin_job(self, item: Item) -> bool:
        """Everything that must be so before an on_leader starts."""
        if not self._lease.holds(clock.now()):
            return False  # noticed as a loss in the next round
        if fault := self._custody.begin(item):
            self._voice.log(f"on_leader is not started: {fault}")
            self._queue.start(item)
            self._take_outcome(Outcome(item, False))
        return not fault

    def _may_start(self, item: Item) -> str:
        if item.event == "leader" and not self._lease.holds(clock.now()):
            return "not started: the lease has run out"
        return ""

    def _take_outcome(self, outcome: Outcome) -> None:
        item = outcome.item
        self._custody.look_again()
        if outcome.again:
            self._queue.put_back(item)
            return
        if item.event == "follower":
            self._custody.follower_ended()
        item.finished = True
        self._settle_absorbed(item)
        if not item.replay:
            self._settle(item.change, item.event, outcome.ok)

    def _settle_absorbed(self, item: Item) -> None:
        absorbed, item.absorbed = item.absorbed, []
        for change, event in absorbed:
            self._settle(change, event, True)

    def _settle(self, change: int, event: str, ok: bool) -> None:
        self._voice.tell("settled", change=change, event=event, ok=ok)

    # Part.

    def _part(self, now: int) -> None:
        """Leave when nothing is owed any more and the agent is gone, or will not go."""
        self._release()
        if self._runner.item is not None or self._queue.waiting or self._custody.job is not None:
            return
        client = self._client
        unknown = client.channel.eof and client.identity is None
        if client.died or client.left or unknown or self._leaves_now:
            self._done = True
        elif self._leading is None:
            waits = (client.eof_at, self._stopping_at)
            self._done = any(at is not None and now >= at + PARTING_PATIENCE for at in waits)

    def _release(self) -> None:
        """Send the wills that are due: their agent is gone, its job and on_follower have ended."""
        running = self._runner.item
        if running is not None and running.event in ("leader", "follower"):
            return
        if self._leading is not None or self._custody.job is not None or self._queue.has_role():
            return
        fault = ""
        if self._will.inherited:
            fault = self._will.send_inherited()
        if self._client.died and not self._client.bye and self._will.datagrams:
            fault += self._will.send()
        if fault:
            self._voice.log(f"last will not sent everywhere: {fault}")
