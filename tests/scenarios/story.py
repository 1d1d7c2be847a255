"""Stories: what an operator would do to a group, and what the nodes make of it.

A story is a text file: `# one sentence`, a line `nodes …`, commands, `----`, the golden output.

    nodes a b c [seed=1] [kind=quorum] [witness=c] [priority=a:200,c:50]
                [stop_timeout=2s] [job=300ms] [wire=real] (real bytes travel)
    lead a                     start all; a leads and the others follow: the clock starts here
    start a | stop a | step-down a | crash a | crash-host a | pause a | resume a | freeze a | thaw a
    isolate a | heal a         both directions between a and everybody (heal: every cut of a)
    cut a>b | cut a-b | mend a>b | mend a-b | split a b | heal all
    loss 20% | disk-fails a | disk-works a
    ask b pause 60s | ask b resume | ask b switchover c     what an operator asks of b's agent
    install newer a | install older a      what `start a` starts from now on (see `sim.newer`)
    run 2s

``for=10s`` after pause, freeze and isolate takes them back after that time, without waiting for it.
The output has a line for each change of a public role, with the seconds since `lead` (to 0.1 s, in
true time), and then the final state of every node. Terms are numbered in order of appearance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from followtheleader.core.actions import ChangeRole
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, NANOSECONDS, LeaderInfo, Role, Span, Term
from followtheleader.wire import Codec
from sim.habits import Habits
from sim.host import Host, Spec
from sim.newer import NewerCodec
from sim.world import World

SIT_OUT = 10 * NANOSECONDS
PATIENCE = 30 * NANOSECONDS
BUILDS: dict[str, type[Codec]] = {"older": Codec, "newer": NewerCodec}
UNITS = {"ms": MS, "s": NANOSECONDS, "m": 60 * NANOSECONDS}


@dataclass(frozen=True)
class Story:
    """A parsed file."""

    sentence: str
    nodes: str
    commands: tuple[str, ...]
    golden: str


def parse(path: Path) -> Story:
    """Return the story in ``path``."""
    head, _, golden = path.read_text().partition("\n----\n")
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    sentence = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    commands = [line for line in lines if not line.startswith("#")]
    if not commands or not commands[0].startswith("nodes "):
        raise ValueError(f"{path.name}: the first command has to be `nodes …`")
    return Story(sentence, commands[0], tuple(commands[1:]), golden)


def rewrite(path: Path, output: str) -> None:
    """Put a new golden output into ``path``."""
    head = path.read_text().partition("\n----\n")[0]
    path.write_text(f"{head}\n----\n{output}")


@dataclass
class Teller:
    """Plays one story."""

    world: World
    lines: list[str] = field(default_factory=list)
    began: int | None = None
    terms: dict[Term, int] = field(default_factory=dict)

    def note(self, host: Host, change: ChangeRole) -> None:
        """Write a role change down."""
        if self.began is None:
            return
        since = (self.world.now - self.began) / NANOSECONDS
        leader = f" {self._describe(change.leader)}" if change.leader else ""
        words = {Role.LEADER: f"leads term={self._term(change.term)}", Role.FOLLOWER: "follows"}
        word = words.get(change.role, "elects")
        text = word if change.role is Role.LEADER else f"{word}{leader}"
        self.lines.append(f"{since:5.1f} s  {host.name} {text} ({change.reason})")

    def final(self) -> list[str]:
        """Return the state of every node."""
        return [self._state(host) for host in self.world.hosts]

    def _state(self, host: Host) -> str:
        if host.agent is None:
            return f"{host.name}: {'stopped' if host.up else 'off'}"
        view = host.agent.election.view(host.local())
        if host.agent.paused or host.frozen:
            return f"{host.name}: {view.role}, but frozen"
        if view.valid_leader and view.role is Role.LEADER:
            return f"{host.name}: leader term={self._term(view.term)}"
        told = f" {self._describe(view.leader)}" if view.leader else ""
        return f"{host.name}: {view.role}{told}"

    def _describe(self, leader: LeaderInfo) -> str:
        name = next(h.name for h in self.world.hosts if h.node_id == leader.owner.id)
        how = "" if leader.direct else " by-hearsay"
        return f"leader={name} term={self._term(leader.term)}{how}"

    def _term(self, term: Term) -> int:
        return self.terms.setdefault(term, len(self.terms) + 1)


def tell(story: Story) -> str:
    """Play ``story``; return its output."""
    world = _make_world(story.nodes.split()[1:])
    teller = Teller(world)
    world.on_role = teller.note
    for command in story.commands:
        _obey(teller, command)
    return "\n".join([*teller.lines, "", *teller.final()]) + "\n"


def _make_world(words: list[str]) -> World:
    names = [word for word in words if "=" not in word]
    options = dict(word.split("=", 1) for word in words if "=" in word)
    pairs = (pair.split(":") for pair in options.get("priority", "").split(",") if pair)
    priorities = {name: int(priority) for name, priority in pairs}
    quorum = options.get("kind", "open") == "quorum"
    timing = Timing(250 * MS, 3, _span(options.get("stop_timeout", "0s")))
    specs = [
        Spec(name, priorities.get(name, 100), timing, witness=options.get("witness") == name)
        for name in names
    ]
    return World(
        int(options.get("seed", "1")),
        specs,
        voters=tuple(names) if quorum else (),
        replay="the story",
        wire="wire" in options,
        habits=_Punctual(_span(options.get("job", "0s"))),
        even_clocks=True,
    )


class _Punctual(Habits):
    """Jobs take exactly as long to end as the story says; nothing else takes any time."""

    def __init__(self, job: Span) -> None:
        super().__init__(True, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._job = job

    def job_end(self, rng: object, stop_timeout: Span) -> Span:
        return self._job


def _obey(teller: Teller, command: str) -> None:
    world = teller.world
    verb, *words = command.split()
    options = dict(word.split("=", 1) for word in words if "=" in word)
    words = [word for word in words if "=" not in word]
    if verb == "run":
        world.run_until(world.now + _span(words[0]))
    elif verb == "loss":
        world.network.weather.loss = float(words[0].rstrip("%")) / 100
    elif verb == "lead":
        _lead(teller, _host(world, words[0]))
    elif verb == "ask":
        _ask(world, *words)
    elif verb == "install":
        _host(world, words[1]).installed = BUILDS[words[0]]
    elif verb in _LINKS:
        _LINKS[verb](world, words)
    elif verb in _HOSTS:
        do, undo = _HOSTS[verb]
        host = _host(world, words[0])
        do(host)
        if "for" in options:
            world.after(_span(options["for"]), lambda: undo(host))
    else:
        raise ValueError(f"unknown command: {command}")


def _ask(world: World, name: str, what: str, argument: str = "0s") -> None:
    agent = _host(world, name).agent
    if agent is None:
        raise ValueError(f"{name} does not run")
    if what == "switchover":
        agent.ask_to_switch_over(_host(world, argument).node_id)
    else:
        agent.ask_to_pause(_span(argument))


def _lead(teller: Teller, leader: Host) -> None:
    world = teller.world
    for host in world.hosts:
        host.start()
        if host is not leader and host.agent is not None:
            host.agent.ask_to_step_down(SIT_OUT)
    if not world.run_while(lambda: world.disagreement() != "", world.now + PATIENCE):
        raise ValueError(f"{leader.name} cannot lead: {world.disagreement()}")
    world.run_until(world.now + SIT_OUT)
    teller.began = world.now
    view = leader.agent.election.view(leader.local()) if leader.agent else None
    if view is not None:
        teller.terms[view.term] = 1


def _host(world: World, name: str) -> Host:
    return next(host for host in world.hosts if host.name == name)


def _span(text: str) -> Span:
    number = text.rstrip("ms")
    return int(float(number) * UNITS[text[len(number) :]])


# -- links


def _pairs(world: World, words: list[str]) -> list[tuple[int, int]]:
    road = words[0]
    a, b = (_host(world, name).index for name in road.replace("-", ">").split(">"))
    return [(a, b)] if ">" in road else [(a, b), (b, a)]


def _cut(world: World, words: list[str]) -> None:
    for pair in _pairs(world, words):
        world.network.cut(*pair)


def _mend(world: World, words: list[str]) -> None:
    for pair in _pairs(world, words):
        world.network.mend(*pair)


def _split(world: World, words: list[str]) -> None:
    side = {_host(world, name).index for name in words}
    for a in range(len(world.hosts)):
        for b in range(len(world.hosts)):
            if (a in side) != (b in side):
                world.network.cut(a, b)


def _heal(world: World, words: list[str]) -> None:
    if words == ["all"]:
        world.network.cuts.clear()
    else:
        _heal_host(_host(world, words[0]))


def _heal_host(host: Host) -> None:
    cuts = host.world.network.cuts
    for pair in [pair for pair in cuts if host.index in pair]:
        del cuts[pair]


def _isolate(host: Host) -> None:
    for other in host.world.hosts:
        if other is not host:
            host.world.network.cut(host.index, other.index)
            host.world.network.cut(other.index, host.index)


_LINKS: dict[str, Callable[[World, list[str]], None]] = {
    "cut": _cut,
    "mend": _mend,
    "split": _split,
    "heal": _heal,
}


# -- hosts


def _start(host: Host) -> None:
    if not host.up:
        host.boot(host.world.now, rate=1000)
    host.start()


def _to_agent(what: str) -> Callable[[Host], None]:
    def do(host: Host) -> None:
        if host.agent is None:
            raise ValueError(f"{host.name} does not run")
        getattr(host.agent, what)()

    return do


def _step_down(host: Host) -> None:
    if host.agent is not None:
        host.agent.ask_to_step_down(SIT_OUT)


def _set_disk(writable: bool) -> Callable[[Host], None]:
    def do(host: Host) -> None:
        host.disk.writable = writable

    return do


_HOSTS: dict[str, tuple[Callable[[Host], None], Callable[[Host], None]]] = {
    "start": (_start, Host.kill_agent),
    "stop": (_to_agent("ask_to_stop"), _start),
    "crash": (Host.kill_agent, _start),
    "crash-host": (Host.crash, _start),
    "pause": (_to_agent("pause"), _to_agent("resume")),
    "resume": (_to_agent("resume"), _to_agent("pause")),
    "freeze": (Host.freeze, Host.thaw),
    "thaw": (Host.thaw, Host.freeze),
    "step-down": (_step_down, _start),
    "isolate": (_isolate, _heal_host),
    "disk-fails": (_set_disk(False), _set_disk(True)),
    "disk-works": (_set_disk(True), _set_disk(False)),
}
