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
from followtheleader.guardian.home import Home
from followtheleader.guardian.manager import Manager
from followtheleader.guardian.orphans import Orphans
from followtheleader.guardian.output import Outputs
from followtheleader.guardian.post import Post
from followtheleader.guardian.runner import Runner
from followtheleader.guardian.source import Source
from followtheleader.guardian.target import Target
from followtheleader.guardian.tenure import Tenure
from followtheleader.guardian.turns import Turns
from followtheleader.guardian.voice import Voice

# While somebody may lead here, look at the clock this often: poll's own clock stops in suspend.
WATCH_INTERVAL = 50 * MS
LOCK_INTERVAL = 10 * MS
HOME_INTERVAL = SECOND
EARLY_KEPT = 256
# How long an agent whose connection has ended, or that we leave, may take to end itself.
PARTING_PATIENCE = 2 * SECOND


class Refused(Exception):
    """The guardian cannot do its work; the text names the place, the value and the cure."""


class Guardian:
    """The guardian at ``post``, on the connection ``fd`` of the process ``peer`` (0: it says so
    itself). Raise `StateError` for its directory."""

    def __init__(self, post: Post, fd: int, peer: int = 0, manager: Manager | None = None) -> None:
        self._post = post
        self._manager = manager or Manager()
        self._home = Home(post.home_dir)
        self._signals = signals.catch()
        self._client = Client(fd, peer)
        self._voice = voice = Voice(self._client.channel, post.instance)
        self._outputs = Outputs(voice.pass_output, self._client.channel.has_room)
        prefix = record.own_prefix()
        register = job.Register(prefix, job.become_subreaper())
        self._custody = Custody(
            record.Record(self._home),
            register,
            Orphans(post.instance, post.place),
            Target(post.target, register, voice.log),
            voice.log,
            voice.complain,
        )
        self._runner = Runner(post, register, self._outputs, voice.tell, self._custody.may_start)
        self._turns = Turns(self._runner, self._custody, voice.tell, voice.complain)
        self._tenure = Tenure(prefix, self._turns, self._custody, voice.tell)
        self._lease = self._custody.lease
        self._will = lastwill.LastWill(self._home)
        self._source = Source(post, self._home, register, voice.log, clock.now())
        self._early: list[messages.EventHappened] = []  # events that came before we were ready
        self._inherited = False
        self._replayed = False
        self._home_at = 0
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
        if self._home.held and not self._client.channel.eof:
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
        due = [self._outputs.next_at(now), self._turns.next_at(now)]
        if not self._home.held:
            due.append(now + LOCK_INTERVAL)
        leads = self._tenure.leading is not None
        if leads or self._custody.job is not None or self._blind:
            due += [now + WATCH_INTERVAL, self._lease.deadline if leads else None]
        due += [self._custody.next_at, self._source.next_at(), self._manager.next_at]
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
        if self._home.held:
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
                self._custody.on_exit(pid, os.waitstatus_to_exitcode(status))

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
            case messages.EventHappened() if self._turns.is_ready:
                self._take_event(message, now)
            case messages.EventHappened():
                self._early = [*self._early[-EARLY_KEPT + 1 :], message]
            case messages.WillDeposited():
                self._deposit(lastwill.check(message.datagrams))
            case messages.Reload():
                self._source.reload()
            case messages.Ping():
                self._home_at = 0  # the agent may have found something missing
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
            self._voice.complain(f"last will in memory only: {lastwill.FILE}: {error.strerror}")

    def _take_event(self, message: messages.EventHappened, now: int) -> None:
        item = self._tenure.item(message.event, message.change, message.facts)
        hooks = self._source.hooks
        if item.event == "follower":
            self._tenure.lose_as_told(item, now)
        elif item.event != "leader":
            self._turns.push(item)
        elif self._client.bye:
            self._turns.settle(item.change, item.event, False)
        elif self._stopping_at is not None:
            # Not a failure of its on_leader: the next guardian will be told of it again.
            self._leaves_now = True
        else:
            self._tenure.gain(item, hooks.on_failure if hooks else "", now)

    # Act.

    def _act(self, now: int) -> None:
        self._custody.step(now)  # before anything else: its time may be up
        self._manager.beat(now, stopping=self._stopping_at is not None)
        if not self._home.held:
            if not self._home.take():
                self._done = self._stopping_at is not None
                return
            self._read_client(now)  # an agent that still leads says until when
        self._keep_home(now)
        self._prepare(now)
        self._notice_loss(now)
        self._custody.step(now)
        self._turns.run(self._source.hooks, now)
        if self._get_ready():
            self._act(now)  # with the events that came before
            return
        self._custody.note(now)
        self._part(now)

    def _keep_home(self, now: int) -> None:
        """What the next guardian must find is written again if somebody has removed it."""
        if now < self._home_at:
            return
        self._home_at = now + HOME_INTERVAL
        if not self._home.is_lost():
            return
        if fault := self._home.enter_again():
            self._voice.complain(fault)
            return
        self._voice.complain(f"{self._home.place} was removed: made again")
        self._custody.write_again()
        self._source.write_again()
        if self._client.identity is not None and self._will.datagrams:
            try:
                self._will.deposit(self._will.datagrams, self._client.identity)
            except OSError as error:
                self._voice.complain(f"last will in memory only: {error.strerror}")

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
        if (fault := self._source.take_news()) is not None:
            self._voice.tell("reloaded", fault=fault)
        agent = self._client.identity
        if agent is not None:
            self._source.keep(agent)
        if not self._source.refusal:
            return
        if agent is not None and self._source.fall_back(agent):
            return
        waits = agent is None and not self._client.channel.eof
        if not waits and not self._custody.is_ending:
            self._voice.tell("refused", fault=self._source.refusal)
            self._client.channel.flush()
            raise Refused(self._source.refusal)

    def _get_ready(self) -> bool:
        """Say that this host's job does not run, once that is so and hooks can run."""
        busy = not self._turns.is_idle or self._custody.job is not None
        if self._turns.is_ready or busy or not self._inherited:
            return False
        if self._client.identity is None or self._source.hooks is None:
            return False
        self._release()
        self._custody.agent = self._client.identity
        self._turns.is_ready = True
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
            self._tenure.replay_loss(lost)

    def _notice_loss(self, now: int) -> None:
        client = self._client
        if client.died:
            self._voice.deaf = True
            if not client.bye:
                self._unlink_once()
        if self._tenure.leading is None:
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
        lost, self._tenure.leading = self._tenure.leading, None
        if lost is None:
            return
        self._tenure.end_job(now)
        if self._lease.kill_at(now) <= now:
            self._custody.step(now)  # its time is up: first of all, SIGKILL
        if self._client.died:
            self._unlink_once()
        else:
            self._unlink()  # the agent may write them again: its death is another occasion
        self._voice.tell("expired", deadline=self._lease.deadline or 0)
        self._tenure.owe_loss(lost, reason)

    def _unlink_once(self) -> None:
        """The agent is dead: whatever it has written last, and once is enough."""
        if not self._unlinked:
            self._unlinked = True
            self._unlink()

    def _unlink(self) -> None:
        may_write = not self._post.in_unit
        for fault in files.unlink_state_files(self._post.runtime_dir, may_write):
            self._voice.complain(fault)

    # Part.

    def _part(self, now: int) -> None:
        """Leave when nothing is owed any more and the agent is gone, or will not go."""
        self._release()
        if not self._turns.is_idle or self._custody.job is not None:
            return
        client = self._client
        unknown = client.channel.eof and client.identity is None
        if client.died or client.left or unknown or self._leaves_now:
            self._done = True
        elif self._tenure.leading is None:
            waits = (client.eof_at, self._stopping_at)
            self._done = any(at is not None and now >= at + PARTING_PATIENCE for at in waits)

    def _release(self) -> None:
        """Send the wills that are due: their agent is gone, its job and on_follower have ended."""
        if self._tenure.leading is not None or self._custody.job is not None:
            return
        if self._turns.owes_role():
            return
        fault = ""
        if self._will.inherited:
            fault = self._will.send_inherited()
        if self._client.died and not self._client.bye and self._will.datagrams:
            fault += self._will.send()
        if fault:
            self._voice.log(f"last will not sent everywhere: {fault}")
