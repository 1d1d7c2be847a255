"""Kinds that name a place or a program: addresses, peers, paths, commands.

Nothing here looks anything up: a name that cannot be resolved or a program that does not exist is
the business of ``followtheleader.config.advice``.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from followtheleader.config.faults import show
from followtheleader.config.keyfile import CREDENTIALS
from followtheleader.config.kinds import CONTROL, Schema, Tell, anchored, text_of
from followtheleader.config.settings import Command, PeerAddress
from followtheleader.config.values import ListNode, MapNode, Node

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_ZONE = re.compile(r"[^/:\s%]{1,15}")

# For the schema, which has no functions.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?!2(?:2[4-9]|3[0-9])\.)(?!255\.255\.255\.255(?:[^0-9]|$)){_BYTE}(?:\.{_BYTE}){{3}}"
_NAME = rf"(?![^:]{{254}})(?:{_LABEL.pattern}\.)*(?![0-9]+\.?(?::|$)){_LABEL.pattern}\.?"
_NOT_OF_ONE_LINK = r"(?![Ff][Ee][89ABab][0-9A-Fa-f]:[^%]*$)(?![Ff][Ff])"
_BARE_IPV6 = rf"{_NOT_OF_ONE_LINK}(?=.*:.*:)[0-9A-Fa-f:.]+(?:%{_ZONE.pattern})?"
_IPV6 = rf"\[[0-9A-Fa-f:.]+(?:%{_ZONE.pattern})?\]"
_UP_TO_65535 = (
    r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
_PEER = rf"(?:(?!0\.0\.0\.0(?::|$)){_IPV4}|{_NAME}|{_IPV6})(?::{_UP_TO_65535})?"
_PATH = rf"/(?:[^{CONTROL}]*[^/{CONTROL}])"
MAX_PATH = 4095
MAX_ARGUMENTS = 256


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A literal address of this host; 0.0.0.0 and ``::`` are every one, of both families."""

    expects: str = "an address of this host, such as 10.0.0.2 or fd00::2, or 0.0.0.0 for all"

    @property
    def schema(self) -> Schema:
        """The four numbers, or whatever looks like IPv6."""
        return {"type": "string", "pattern": anchored(rf"(?:{_IPV4}|{_BARE_IPV6})")}

    def parse(self, node: Node, tell: Tell) -> str | None:
        """Return the address."""
        text = text_of(node, tell, self.expects)
        if text is None:
            return None
        wrong = _wrong_listen_address(text)
        if wrong is None:
            return text
        tell(node, f"{wrong}, write {self.expects}")
        return None


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a peer may be found: ``10.0.0.2``, ``host-b:9001``, ``"[fe80::1%eth0]:9001"``."""

    expects: str = 'an address or a host name such as 10.0.0.2, host-b:9001 or "[fd00::2]:9001"'

    @property
    def schema(self) -> Schema:
        """The three forms; within brackets whatever looks like IPv6."""
        return {"type": "string", "pattern": anchored(_PEER)}

    def parse(self, node: Node, tell: Tell) -> PeerAddress | None:
        """Return host and port."""
        if isinstance(node, ListNode):
            tell(node, 'is a list, write an IPv6 address in quotes: "[fd00::1]:9001"')
            return None
        if isinstance(node, MapNode):
            tell(node, "is a mapping, write host:port without a space: host-b:9001")
            return None
        text = text_of(node, tell, self.expects)
        if text is None:
            return None
        if "[" not in text and text.count(":") > 1:
            tell(node, _without_brackets(text))
            return None
        try:
            return self._split(text)
        except ValueError as error:
            tell(node, f"{error}, write {self.expects}")
            return None

    def _split(self, text: str) -> PeerAddress:
        bracketed = _BRACKETS.fullmatch(text)
        if bracketed is not None:
            _check_ipv6(bracketed[1])
            return PeerAddress(bracketed[1], _port(bracketed[2]))
        if "[" in text:
            raise ValueError(f"{show(text)} is not of the form [address]:port")
        host, colon, port = text.partition(":")
        wrong = _wrong_host(host)
        if wrong is not None:
            raise ValueError(wrong)
        return PeerAddress(host, _port(port if colon else None))


@dataclass(frozen=True, slots=True)
class FilePath:
    """The absolute path of a file."""

    expects: str

    @property
    def schema(self) -> Schema:
        """From the root on, and no directory."""
        return {"type": "string", "pattern": anchored(_PATH), "maxLength": MAX_PATH}

    def parse(self, node: Node, tell: Tell) -> str | None:
        """Return the path."""
        text = text_of(node, tell, self.expects)
        if text is None:
            return None
        wrong = _wrong_path(text)
        if wrong is not None:
            tell(node, f"{wrong}, write {self.expects}")
            return None
        return text


@dataclass(frozen=True, slots=True)
class KeyFilePath:
    """The absolute path of a file, or one below systemd's directory of credentials."""

    expects: str = f"an absolute path such as /etc/ftl/svc.key, or {CREDENTIALS}/key"

    @property
    def schema(self) -> Schema:
        """From the root on, or from the credentials on."""
        pattern = anchored(rf"(?:{re.escape(CREDENTIALS)})?{_PATH}")
        return {"type": "string", "pattern": pattern, "maxLength": MAX_PATH}

    def parse(self, node: Node, tell: Tell) -> str | None:
        """Return the path, as it stands there."""
        text = text_of(node, tell, self.expects)
        if text is None:
            return None
        wrong = _wrong_path(text.removeprefix(CREDENTIALS))
        if wrong is not None:
            tell(node, f"{wrong}, write {self.expects}")
            return None
        return text


@dataclass(frozen=True, slots=True)
class Commands:
    """What a hook runs: a path, a list (one argument vector), or a list of lists (several).

    In a list that holds a list, every item is a command: a path or an argument vector.
    """

    expects: str = 'a path, a list [/path, "argument"], or several such lists in a list'

    @property
    def schema(self) -> Schema:
        """The three forms, and the empty list."""
        program: Schema = {"type": "string", "pattern": anchored(_PATH), "maxLength": MAX_PATH}
        path: Schema = program | {"pattern": anchored(rf"(?!.*\s\S){_PATH}")}
        vector: Schema = {
            "type": "array",
            "items": [program],
            "additionalItems": {"type": "string"},
        }
        vector |= {"minItems": 1, "maxItems": MAX_ARGUMENTS}
        several: Schema = {"type": "array", "items": {"anyOf": [path, vector]}}
        several |= {"contains": {"type": "array"}}
        return {"anyOf": [path, {"type": "array", "maxItems": 0}, vector, several]}

    def parse(self, node: Node, tell: Tell) -> tuple[Command, ...] | None:
        """Return the argument vectors; empty for ``[]``, which runs nothing."""
        if not isinstance(node, ListNode):
            command = self._path(node, tell)
            return None if command is None else (command,)
        if not node.items:
            return ()
        if not any(isinstance(item, ListNode) for item in node.items):
            command = self._vector(node, tell)
            return None if command is None else (command,)
        commands = [
            self._vector(item, tell) if isinstance(item, ListNode) else self._path(item, tell)
            for item in node.items
        ]
        whole = tuple(command for command in commands if command is not None)
        return whole if len(whole) == len(commands) else None

    def _path(self, node: Node, tell: Tell) -> Command | None:
        text = text_of(node, tell, self.expects)
        if text is None:
            return None
        if len(text.split()) > 1:
            words = ", ".join(f'"{word}"' for word in text.split())
            tell(
                node,
                f"{show(text)} would be one path with white space (no shell is involved), "
                f"write a list: [{show(words)[1:-1]}]",
            )
            return None
        wrong = _wrong_path(text)
        if wrong is not None:
            tell(node, f"{wrong}, write {self.expects}")
            return None
        return (text,)

    def _vector(self, node: ListNode, tell: Tell) -> Command | None:
        if not node.items:
            tell(node, f"the command is empty, write {self.expects}")
            return None
        if len(node.items) > MAX_ARGUMENTS:
            tell(node, f"more than {MAX_ARGUMENTS} arguments, let a script hold them")
            return None
        words = [text_of(item, tell, "text", _any_text) for item in node.items]
        first = words[0]
        wrong = None if first is None else _wrong_path(first)
        if wrong is not None:
            tell(node.items[0], f"{wrong}, the first item of a list is the program's path")
            return None
        whole = tuple(word for word in words if word is not None)
        return whole if len(whole) == len(words) else None


def literal_ip(host: str) -> int | None:
    """Return 4 or 6 if ``host`` is a literal address, None if it is a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


def _without_brackets(text: str) -> str:
    """Say which form with brackets ``text`` stands for: the last part may be a port."""
    address, _, port = text.rpartition(":")
    forms = []
    if _is_ipv6(address) and _PORT.fullmatch(port) and len(port) > 3:
        forms.append(f'"[{address}]:{port}"')
    if _is_ipv6(text):
        zone = "%eth0" if _needs_zone(text) else ""
        forms.append(f'"[{text}{zone}]"')
    if not forms:
        wrong = f"{show(text)} has more than one colon and is not an IPv6 address"
        return f"{wrong}, write {Peer().expects}"
    return f"{show(text)} is IPv6 without brackets, write {' or '.join(forms)}"


def _is_ipv6(text: str) -> bool:
    plain, percent, zone = text.partition("%")
    return literal_ip(plain) == 6 and (not percent or _ZONE.fullmatch(zone) is not None)


def _needs_zone(text: str) -> bool:
    """Is it a link-local address without the interface of its link?"""
    return "%" not in text and ipaddress.IPv6Address(text).is_link_local


def _any_text(_: str) -> bool:
    return True


def _wrong_host(host: str) -> str | None:
    if re.fullmatch(r"[0-9.]*", host):
        return _wrong_ipv4(host, unspecified=False)
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"{show(host)} is not a host name"
    if labels[-1].isdigit():
        return f"{show(host)} is neither an IPv4 address nor a host name"
    return None


def _wrong_ipv4(text: str, *, unspecified: bool) -> str | None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return f"{show(text)} is not an IPv4 address"
    if address.is_multicast or text == "255.255.255.255":
        return f"{text} is not the address of one host"
    if address.is_unspecified and not unspecified:
        return f"{text} is not the address of a host"
    return None


def _wrong_listen_address(text: str) -> str | None:
    if literal_ip(text.partition("%")[0]) != 6:
        if ":" in text:
            return f"{show(text)} is not an address (a port has its own key, port)"
        return _wrong_ipv4(text, unspecified=True)
    if text == "::":
        return None
    try:
        _check_ipv6(text)
    except ValueError as error:
        return str(error)
    return None


def _check_ipv6(text: str) -> None:
    plain, percent, zone = text.partition("%")
    try:
        address = ipaddress.IPv6Address(plain)
    except ValueError:
        raise ValueError(f"{show(text)} is not an IPv6 address") from None
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"{show(text)} is not the address of one host")
    if percent and not _ZONE.fullmatch(zone):
        raise ValueError(f"{show(zone)} is not the name of an interface")
    if _needs_zone(text):
        example = show(f"{plain}%eth0")
        raise ValueError(f"{show(text)} is of one link, its interface is missing, as in {example}")


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if _PORT.fullmatch(text) is None or int(text) > 65535:
        raise ValueError(f"{show(text)} is not a port (1 to 65535)")
    return int(text)


def _wrong_path(text: str) -> str | None:
    if not text:
        return "is empty"
    if not text.isprintable():
        return f"{show(text)} holds control characters"
    if not text.startswith("/"):
        return f"{show(text)} is not an absolute path"
    if text.endswith("/"):
        return f"{show(text)} is a directory"
    if len(text.encode()) > MAX_PATH:
        return f"{show(text)} is too long for a path"
    return None
