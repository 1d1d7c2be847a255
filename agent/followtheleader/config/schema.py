"""The one table of every key: its kind, default, meaning, and what changing it costs.

The parser, the JSON schema, the example file, `unknown`'s hints and the documentation are made from
`KEYS`; a key that is not here does not exist. To add one: a row here, a field in ``settings``, a
line in ``loader``, and a rule there if it has to agree with other keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.config.durations import MINUTE, MS, SECOND, format_duration
from followtheleader.config.faults import near_miss
from followtheleader.config.kinds import (
    INTERFACE_NAME,
    NODE_NAME,
    SERVICE_NAME,
    Boolean,
    Choice,
    Duration,
    Integer,
    Kind,
    ListOf,
)
from followtheleader.config.places import Commands, FilePath, KeyFilePath, ListenAddress, Peer
from followtheleader.config.settings import KEY_MODES

PRESETS = {"default": 250 * MS, "fast": 25 * MS, "relaxed": 750 * MS}
"""``timing``: a name for a heartbeat interval."""

DEFAULT_PORT = 9001
MAX_VOTERS = 31
MAX_PEERS = 64
MAX_PATIENCE = 10 * MINUTE
"""heartbeat_interval × (max_failed_responses + 1) may not exceed this."""
MAX_STOP_TIMEOUT = 10 * MINUTE
OPEN_STOP_TIMEOUT = 0
QUORUM_STOP_TIMEOUT = 2 * SECOND

_PRESETS_TEXT = ", ".join(f"{name} ({format_duration(span)})" for name, span in PRESETS.items())


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file.

    ``name`` has a dot for a key within a section: ``hooks.timeout``. ``default`` is YAML text, or
    None if the default depends on something; ``default_says`` then tells on what. ``raised`` and
    ``lowered`` say what gets worse (for a list: with more or fewer items). ``reload``: a reload of
    the agent applies a change; otherwise a restart does. ``example`` is YAML text.
    """

    name: str
    kind: Kind
    default: str | None
    meaning: str
    example: str
    reload: bool
    default_says: str = ""
    raised: str = ""
    lowered: str = ""

    @property
    def section(self) -> str:
        """The section the key lies in; empty at the top level."""
        return self.name.rpartition(".")[0]

    @property
    def word(self) -> str:
        """The key as it stands in the file, within its section."""
        return self.name.rpartition(".")[2]

    @property
    def shown_default(self) -> str:
        """The default as prose."""
        return self.default_says or str(self.default)

    def explained(self) -> list[str]:
        """Return all there is to say in sentences: meaning, default, both ways, when it applies."""
        noun = "items" if self.default == "[]" else ""
        texts = [self.meaning, f"Default: {self.shown_default}."]
        if self.raised:
            texts.append(f"{'With more ' + noun if noun else 'Raised'}: {self.raised}.")
        if self.lowered:
            texts.append(f"{'With fewer ' + noun if noun else 'Lowered'}: {self.lowered}.")
        texts.append(f"A change is applied by a {'reload' if self.reload else 'restart'}.")
        return texts


def _hook(event: str, when: str, example: str) -> Key:
    return Key(
        name=f"hooks.on_{event}",
        kind=Commands(),
        default=None,
        default_says=f"on_{event}.sh and on_{event}.d/*",
        meaning=f"What to run {when}.",
        example=example,
        reload=True,
    )


KEYS: tuple[Key, ...] = (
    Key(
        name="service",
        kind=SERVICE_NAME,
        default=None,
        default_says="the instance's name",
        meaning="The election's name: nodes with the same name form one group.",
        example="web",
        reload=False,
    ),
    Key(
        name="node",
        kind=NODE_NAME,
        default=None,
        default_says="the host name",
        meaning="This node's name, shown to people and named in voters: letters, digits, '.', "
        "'_' and '-', at most 63.",
        example="host-a",
        reload=False,
    ),
    Key(
        name="priority",
        kind=Integer(0, 255),
        default="100",
        meaning="Who is preferred when several could lead, 0 to 255; a node of priority 0 never "
        "leads.",
        raised="this node is chosen also where another would be the better place for the job",
        lowered="others are chosen first; with 0 everywhere nobody ever leads",
        example="150",
        reload=True,
    ),
    Key(
        name="preempt",
        kind=Boolean(),
        default="false",
        meaning="A healthy leader of lower priority hands over to this node, after preempt_delay.",
        example="true",
        reload=True,
    ),
    Key(
        name="preempt_delay",
        kind=Duration(SECOND, 3600 * SECOND),
        default="60s",
        meaning="How long this node must have followed a leader of lower priority, without a "
        "break, before it asks for the leadership. Needs preempt.",
        raised="the better node leads later",
        lowered="a node that comes and goes takes the leadership along each time",
        example="5m",
        reload=True,
    ),
    Key(
        name="voters",
        kind=ListOf(NODE_NAME, "[host-a, host-b, host-c]", MAX_VOTERS),
        default="[]",
        meaning="The names of the voting nodes, the same list on every node. With voters the group "
        "is a quorum group: never two leaders, and none without a majority. Without, it is an open "
        "group.",
        raised="every claim and every renewal needs answers from more nodes",
        lowered="fewer failures are survived: five voters survive two, three survive one, two none",
        example="[host-a, host-b, host-c]",
        reload=False,
    ),
    Key(
        name="witness",
        kind=Boolean(),
        default="false",
        meaning="This node votes and never leads. It is one of the voters.",
        example="true",
        reload=False,
    ),
    Key(
        name="timing",
        kind=Choice(tuple(PRESETS)),
        default="default",
        meaning=f"A preset for heartbeat_interval: {_PRESETS_TEXT}. Choose one of the two keys.",
        example="fast",
        reload=False,
    ),
    Key(
        name="heartbeat_interval",
        kind=Duration(10 * MS, 60 * SECOND),
        default=format_duration(PRESETS["default"]),
        meaning="How often the leader is heard; every other time follows from it.",
        raised="a dead leader is missed later",
        lowered="more packets, and a busy host loses leadership by being late",
        example="100ms",
        reload=False,
    ),
    Key(
        name="max_failed_responses",
        kind=Integer(1, 100),
        default="3",
        meaning="How many heartbeats in a row may be missed before the leader is given up. "
        "In a quorum group a leader that no majority answers gives up after four fifths of that "
        "silence.",
        raised="a dead leader is missed later",
        lowered="a short loss of packets or a pause ends a healthy leadership",
        example="5",
        reload=False,
    ),
    Key(
        name="start_patience",
        kind=Duration(0, 600 * SECOND),
        default="10s",
        meaning="After a start, as long as no remembered member is heard: how long to wait for the "
        "first of them before this node claims. After a power cut or behind a slow switch port the "
        "others come later.",
        raised="after a restart while all others are away nobody leads for longer",
        lowered="after a power cut several nodes may lead an open group until they hear each other",
        example="30s",
        reload=True,
    ),
    Key(
        name="stop_timeout",
        kind=Duration(0, MAX_STOP_TIMEOUT),
        default=None,
        default_says=f"{format_duration(OPEN_STOP_TIMEOUT)} in an open group, "
        f"{format_duration(QUORUM_STOP_TIMEOUT)} in a quorum group",
        meaning="How long the leader's job may take to end after its lease has run out, before it "
        "is killed. The others wait that much longer.",
        raised="after a host's death, a freeze or a cut the next leader starts that much later "
        "(1.25 times)",
        lowered="a job that needs longer to end is killed by SIGKILL; a database may need minutes",
        example="5s",
        reload=False,
    ),
    Key(
        name="host",
        kind=ListenAddress(),
        default="0.0.0.0",
        meaning="The address the agent listens on, IPv4 or IPv6 (a link-local one with its "
        "interface: fe80::1%eth0). 0.0.0.0 and :: are every address of both. To choose network "
        "interfaces instead, use interfaces.",
        example="10.0.0.2",
        reload=False,
    ),
    Key(
        name="port",
        kind=Integer(1, 65535),
        default=None,
        default_says=f"the last one used, else {DEFAULT_PORT}, else the next free one",
        meaning="The UDP port. If it is set and taken, the agent refuses to start.",
        example=str(DEFAULT_PORT),
        reload=False,
    ),
    Key(
        name="interfaces",
        kind=ListOf(INTERFACE_NAME, "[eth0, eth1]", 32),
        default="[]",
        default_says="the usable ones: not lo, bridges of containers, tunnels",
        meaning="The network interfaces on which the election runs.",
        raised="more packets; a peer must be reached on one of them only",
        lowered="a single cable or switch separates this node from its group",
        example="[eth0, eth1]",
        reload=False,
    ),
    Key(
        name="discovery",
        kind=ListOf(Choice(("mdns", "static")), "[mdns, static]", most=2, single=True, empty=False),
        default="mdns",
        meaning="How peers are found: mdns (multicast), static (the list peers), or both.",
        example="[mdns, static]",
        reload=True,
    ),
    Key(
        name="peers",
        kind=ListOf(Peer(), "[10.0.0.2, host-b:9001]", MAX_PEERS),
        default="[]",
        meaning="Where to look for peers if discovery says static: addresses or host names, with "
        'a port or without (then this node\'s port, else 9001); IPv6 as "[fd00::2]:9001". Reaching '
        "one of them is enough.",
        raised="more packets to peers that do not answer",
        lowered="with few and static only, a node that starts while these are down finds nobody",
        example="[10.0.0.2, host-b:9001]",
        reload=True,
    ),
    Key(
        name="key_file",
        kind=KeyFilePath(),
        default=None,
        default_says="none: nothing is signed, and whoever is on the network can move roles",
        meaning="The file with the group's keys, the same on every node: a line `name secret` for "
        "each; the first signs, all are accepted. Made by ftl-agent keygen, readable by root and "
        "group ftl only. A path that begins with ${CREDENTIALS_DIRECTORY} is one of systemd's "
        "LoadCredential=. A reload reads it again.",
        example="/etc/ftl/svc.key",
        reload=True,
    ),
    Key(
        name="key_mode",
        kind=Choice(KEY_MODES),
        default="require",
        meaning="How far a running group has come from unsigned to signed: accept (sends unsigned, "
        "accepts signed, too), sign (signs, accepts unsigned, too), require (signs, and nothing "
        "unsigned counts). Only require protects. Take each step on every node before the next. "
        "Needs key_file.",
        example="sign",
        reload=True,
    ),
    _hook("leader", "when this node becomes the leader", "/usr/local/bin/take-over.sh"),
    _hook("follower", "when it stops leading", '[/usr/bin/logger, "not leading"]'),
    _hook("reelection", "when the leader is lost and a new election starts", "[]"),
    _hook("error", "when something is wrong that needs a person", "[[/usr/bin/logger, error]]"),
    Key(
        name="hooks.timeout",
        kind=Duration(10 * MS, 60 * MINUTE),
        default="30s",
        meaning="How long one hook may run; then it is ended and counts as failed.",
        raised="a hook that hangs is noticed later, and keeps the hooks behind it waiting",
        lowered="a slow hook is ended before it is done",
        example="2m",
        reload=True,
    ),
    Key(
        name="hooks.on_failure",
        kind=Choice(("step-down", "retry", "ignore")),
        default="step-down",
        meaning="What a failing on_leader leads to: step-down (another node takes over), retry "
        "(run it again), ignore (lead all the same).",
        example="retry",
        reload=True,
    ),
    Key(
        name="role_file",
        kind=FilePath("the absolute path of a file, such as /run/ftl/role"),
        default="/run/ftl/role",
        meaning="The link to this instance's role file. Made by the primary instance, or by the "
        "only one that is configured.",
        example="/run/ftl/role",
        reload=True,
    ),
    Key(
        name="primary",
        kind=Boolean(),
        default="false",
        meaning="Of several instances on this host, the one to which role_file links.",
        example="true",
        reload=True,
    ),
)

BY_NAME = {key.name: key for key in KEYS}

SECTIONS = {
    "hooks": "Programs to run at changes of the role: a path, a list (program and arguments), or a "
    "list of such lists. No shell is involved; [] runs nothing. Where nothing is set, on_EVENT.sh "
    "and then the executable files of on_EVENT.d run, in the directory beside this file that is "
    "named after the instance (/etc/ftl/svc for /etc/ftl/svc.yaml).",
}
"""What a section is for."""

_MEANT = {
    "address": "host",
    "bind": "host",
    "listen": "host",
    "name": "service",
    "hostname": "node",
    "node_name": "node",
    "nodes": "voters",
    "quorum": "voters",
    "members": "voters",
    "interface": "interfaces",
    "heartbeat": "heartbeat_interval",
    "key": "key_file",
    "keys": "key_file",
    "secret": "key_file",
    "password": "key_file",
    "auth": "key_file",
    "encrypt": "key_file",
    "on_lead": "hooks.on_leader",
    "on_follow": "hooks.on_follower",
}
"""Words that people write for a key although they do not look like it."""


def words(section: str) -> dict[str, Key | None]:
    """Return what may stand in ``section`` (empty: the top level): keys, and None for a section."""
    found: dict[str, Key | None] = {key.word: key for key in KEYS if key.section == section}
    if not section:
        found.update(dict.fromkeys(SECTIONS))
    return found


def unknown(section: str, word: str) -> str:
    """Return what is wrong with an unknown ``word`` in ``section``, with the near miss."""
    where = f"under {section}" if section else "at the top level"
    plain = _plain(word)
    meant = _MEANT.get(plain)
    for key in KEYS:
        if plain == key.word and key.section != section:
            home = f"under {key.section}:" if key.section else "at the top level"
            return f"is unknown {where}, it belongs {home}"
    if meant is not None and BY_NAME[meant].section == section:
        return f"is unknown {where}, did you mean '{BY_NAME[meant].word}'?"
    hint = near_miss(plain, words(section)) or near_miss(
        plain, [key.name for key in KEYS if key.section != section]
    )
    return f"is unknown {where}{hint or ', remove it (ftl-agent example-config lists every key)'}"


def _plain(word: str) -> str:
    """Undo camelCase and hyphens: ``maxFailedResponses`` is known from the npm package."""
    if word.isupper():
        return word.lower()
    split = "".join(f"_{char.lower()}" if char.isupper() else char for char in word[:64])
    return split.replace("-", "_").strip("_")
