"""avahi-daemon on a host of the lab, on port 5353 beside the agent, and a question to it.

Its files are its own: /run is a small tmpfs that only it sees. It answers for ``HOST.local``.
"""

from __future__ import annotations

import socket
import struct
import subprocess

from lab.hosts import Host
from lab.net import Network
from lab.sockets import socket_in
from lab.waiting import wait_until

CONFIG = """
[server]
host-name={host}
use-ipv4=yes
use-ipv6=no
enable-dbus=no
allow-interfaces=eth0
[publish]
publish-workstation=no
publish-hinfo=no
"""
START = 'mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec avahi-daemon "$@"'
MDNS = ("224.0.0.251", 5353)
TYPE_A, CLASS_IN = 1, 1


class Avahi:
    """One daemon; start it, ask others whether it answers, stop it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._config = host.directory / "avahi.conf"
        self._output = host.directory / "avahi.log"
        self._config.write_text(CONFIG.format(host=host.name))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it has announced itself."""
        self._host.log.note(self._host.name, "fault", "avahi-start")
        words = ("-f", str(self._config), "--no-drop-root", "--no-chroot", "--no-rlimits")
        command = [*self._host.network.enter(self._host.name), "sh", "-c", START, "sh", *words]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(self._is_up, 10, f"avahi-daemon on {self._host} is up", self._said)

    def _is_up(self) -> bool:
        return "Server startup complete" in self._said()

    def _said(self) -> str:
        return self._output.read_text()

    def stop(self) -> None:
        """SIGTERM, and wait for its goodbye."""
        self._host.log.note(self._host.name, "fault", "avahi-stop")
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)

    def complaints(self) -> list[str]:
        """What it said of names that others use, or of packets that it did not like."""
        words = ("conflict", "collision", "Invalid", "Withdrawing", "Failed")
        return [line for line in self._said().splitlines() if any(w in line for w in words)]


def wait_for_answer(network: Network, asker: str, name: str, address: str) -> None:
    """Ask from that host, as any program may, where ``name.local`` is."""
    with socket_in(network.netns(asker)) as question:
        question.settimeout(0.5)
        group = socket.inet_aton(network.address(asker))
        question.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group)

        def answered() -> bool:
            question.sendto(_query(name), MDNS)
            try:
                data = question.recv(9000)
            except TimeoutError:
                return False
            return socket.inet_aton(address) in data

        wait_until(answered, 10, f"avahi-daemon answers {asker}: {name}.local is {address}")


def _query(name: str) -> bytes:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in (name, "local"))
    return struct.pack("!6H", 7, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, TYPE_A, CLASS_IN)
