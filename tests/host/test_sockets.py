"""The local sockets, with real clients: polite, rude, slow and many."""

from __future__ import annotations

import asyncio
import grp
import os
import resource
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from followtheleader.errors import NoAnswer, StateError
from followtheleader.host import sockets
from followtheleader.host.client import ask, ask_role
from followtheleader.host.sockets import LocalServer, serve


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("command") == "role":
        return {"role": "follower"}
    return {"echo": request}


@asynccontextmanager
async def serving(path: Path, handler: sockets.Handler = answer) -> AsyncIterator[LocalServer]:
    server = await serve(str(path), 0o666, None, handler)
    try:
        yield server
    finally:
        await server.close()


async def exchange(path: Path, data: bytes, half_close: bool = False) -> bytes:
    """What the server says to ``data``, until it ends the connection."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(data)
        if half_close:
            writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_request_and_its_reply(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with serving(path):
            reply = await asyncio.to_thread(ask, str(path), {"command": "status", "é": [1]})
            assert reply == {"echo": {"command": "status", "é": [1]}}
            assert await asyncio.to_thread(ask_role, str(path)) == "follower"
            assert await exchange(path, b"role\n") == b"follower\n"
        assert not path.exists()

    asyncio.run(main())


def test_a_client_that_half_closes_still_gets_its_reply(tmp_path: Path) -> None:
    async def slowly(request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"role": "leader"}

    async def main() -> None:
        async with serving(tmp_path / "s", slowly):
            assert await exchange(tmp_path / "s", b"role\n", half_close=True) == b"leader\n"

    asyncio.run(main())


@pytest.mark.parametrize("nonsense", [b"\n", b"leader\n", b"[1]\n", b"{\n", b"\xff\n", b"[" * 9000])
def test_nonsense_is_answered_with_what_is_expected(nonsense: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s"):
            raw = await exchange(tmp_path / "s", nonsense.rstrip(b"\n") + b"\n")
            assert b'{"error":"a request is one line: ' in raw

    asyncio.run(main())


def test_a_request_has_a_largest_size(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s"):
            assert b"at most 65536 bytes" in await exchange(tmp_path / "s", b"x" * 66000)
            assert await exchange(tmp_path / "s", b"role\n") == b"follower\n"

    asyncio.run(main())


def test_mode_group_and_stale_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    ours = grp.getgrgid(os.getegid()).gr_name

    async def main() -> None:
        for group in (ours, "no-such-group", None):
            server = await serve(str(path), 0o660, group, answer)
            found = path.stat()
            assert stat.S_IMODE(found.st_mode) == 0o660
            assert found.st_gid == os.getegid()
            assert await asyncio.to_thread(ask_role, str(path)) == "follower"
            await server.close()

    asyncio.run(main())


def test_closing_leaves_the_socket_of_a_successor(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with serving(path):
            async with serving(path):
                pass
            assert not path.exists()
        async with serving(path) as first, serving(path):
            await first.close()
            assert await exchange(path, b"role\n") == b"follower\n"

    asyncio.run(main())


def test_silent_and_deaf_clients_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "IDLE_SECONDS", 0.1)

    async def at_length(request: dict[str, Any]) -> dict[str, Any]:
        return {"long": "x" * 4_000_000}

    async def main() -> None:
        async with serving(tmp_path / "s", at_length), asyncio.timeout(5):
            assert await exchange(tmp_path / "s", b'{"half a line') == b""
            with socket.socket(socket.AF_UNIX) as deaf:
                deaf.connect(str(tmp_path / "s"))
                deaf.sendall(b"{}\n")
                hung_up = select.poll()
                hung_up.register(deaf, 0)
                while not hung_up.poll(0):
                    await asyncio.sleep(0.01)
                deaf.settimeout(5)
                received = b"".join(iter(lambda: deaf.recv(1 << 20), b""))
                assert 0 < len(received) < 4_000_000

    asyncio.run(main())


def test_the_handler_of_a_client_that_left_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "IDLE_SECONDS", 0.1)

    async def main() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def for_ever(request: dict[str, Any]) -> dict[str, Any]:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return {}

        async with serving(tmp_path / "s", for_ever), asyncio.timeout(5):
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(b"{}\n")
            await begun.wait()
            writer.close()
            await cancelled.wait()

    asyncio.run(main())


def test_who_has_asked_is_not_silent_though_we_were_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that had no processor for a while finds all its clients overdue at once."""
    monkeypatch.setattr(sockets, "CROWDED_SECONDS", 0)
    clients = []

    async def slow(request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"role": "leader"}

    async def main() -> None:
        async with serving(tmp_path / "s", slow), asyncio.timeout(10):
            for _ in range(3 * sockets.MOST_CLIENTS):
                clients.append(socket.socket(socket.AF_UNIX))
                clients[-1].connect(str(tmp_path / "s"))
                clients[-1].sendall(b"role\n")
            for client in clients:
                assert await asyncio.to_thread(client.recv, 100) == b"leader\n"
                client.close()

    asyncio.run(main())


def test_more_clients_than_allowed_wait_for_their_turn(tmp_path: Path) -> None:
    at_once = most = 0

    async def count(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return {"role": "leader"}

    async def main() -> None:
        async with serving(tmp_path / "s", count), asyncio.timeout(10):
            asking = [exchange(tmp_path / "s", b"role\n") for _ in range(3 * sockets.MOST_CLIENTS)]
            assert set(await asyncio.gather(*asking)) == {b"leader\n"}
        assert most == sockets.MOST_CLIENTS

    asyncio.run(main())


def test_who_only_holds_a_place_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times as many as there are places, and none of them ever asks."""
    monkeypatch.setattr(sockets, "REQUEST_SECONDS", 60.0)

    async def main() -> None:
        path = str(tmp_path / "s")
        async with serving(Path(path)), asyncio.timeout(10):
            idle = []
            for _ in range(3 * sockets.MOST_CLIENTS):
                holder = socket.socket(socket.AF_UNIX)
                holder.setblocking(False)
                holder.connect(path)
                idle.append(holder)
            assert await exchange(Path(path), b"role\n") == b"follower\n"
            for holder in idle:
                holder.close()

    asyncio.run(main())


def test_closing_cuts_clients_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            async with serving(tmp_path / "s"):
                reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
                writer.write(b"no end of line")
                await writer.drain()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()

    asyncio.run(main())


def test_unwritable_and_overlong_paths(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(StateError, match=r"/none/s: cannot be written"):
            await serve(str(tmp_path / "none/s"), 0o666, None, answer)
        with pytest.raises(StateError, match="use --runtime-dir"):
            await serve(str(tmp_path / ("x" * 110)), 0o666, None, answer)

    asyncio.run(main())


def test_no_answer_says_what_to_do(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with pytest.raises(NoAnswer, match="no agent answers"):
        ask(path, {})
    with pytest.raises(NoAnswer, match="systemctl status ftl-agent@nobody-has-this"):
        ask("/run/ftl/nobody-has-this/status.sock", {})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        with pytest.raises(NoAnswer, match="no agent answers"):
            ask(path, {})
        listener.listen()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
            ask(path, {}, timeout=0.05)
    with pytest.raises(NoAnswer, match="check --runtime-dir"):
        ask("x" * 200, {})


def test_an_answer_that_comes_byte_by_byte_is_none(tmp_path: Path) -> None:
    """Else whoever has the socket could hold root's command, or a unit's condition, for ever."""
    path = tmp_path / "s"

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            for _ in range(200):
                client.sendall(b" ")
                time.sleep(0.05)
            client.sendall(b'{"late": true}\n')

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.2 s"):
            ask(str(path), {}, timeout=0.2)
        dripping.join()


def test_an_answer_that_is_not_ours(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        replies = iter([b"hello\n", b'{"cut', b"[1]\n"])
        ended = asyncio.Event()

        async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(next(replies))
            writer.close()
            await writer.wait_closed()
            ended.set()

        server = await asyncio.start_unix_server(strange, str(path))
        for expected in ("not ours", "ended early", "not ours"):
            ended = asyncio.Event()
            with pytest.raises(NoAnswer, match=expected):
                await asyncio.to_thread(ask, str(path), {})
            await ended.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_asking_costs_little() -> None:
    program = (
        "import sys; sys.path.extend(sys.argv[1:]);"
        "import followtheleader.host.client, followtheleader.host.places;"
        "heavy = ('asyncio', 'json', 'logging', 'yaml', 'zeroconf');"
        "print([m for m in heavy if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *sys.path],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.stdout == "[]\n"


def test_a_socket_whose_file_is_gone_is_made_again(tmp_path: Path) -> None:
    """Who is being served stays; nothing is left of the one before."""

    async def main() -> None:
        path = tmp_path / "s"
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: dict[str, Any]) -> dict[str, Any]:
            entered.set()
            await go_on.wait()
            return {"done": True}

        async with serving(path, slow) as server:
            waiting = asyncio.create_task(exchange(path, b"{}\n"))
            await entered.wait()
            for _ in range(2 * sockets.MOST_CLIENTS):  # no slot is lost by it either
                assert server.is_there()
                path.unlink()
                assert not server.is_there()
                server.restore()
            assert stat.S_IMODE(path.stat().st_mode) == 0o666
            go_on.set()
            assert await waiting == b'{"done":true}\n'
            assert await exchange(path, b"{}\n") == b'{"done":true}\n'
        assert not path.exists()

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Nothing can be opened meanwhile; what is open stays."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_socket_that_cannot_be_made_again_for_want_of_descriptors(tmp_path: Path) -> None:
    """A `StateError` with the path, and the next attempt may work."""

    async def main() -> None:
        path = tmp_path / "s"
        async with serving(path) as server:
            path.unlink()
            with no_descriptor_left(), pytest.raises(StateError, match="Too many open files"):
                server.restore()
            server.restore()
            assert await exchange(path, b"role\n") == b"follower\n"

    asyncio.run(main())
