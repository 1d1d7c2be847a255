"""The agent's two local sockets: one request line in, one reply line out, then the end.

Promise: whoever connects can neither stop nor slow the agent, nor keep others from their answer by
holding places. Requests are at most 64 KiB, at most 64 clients are served at once; one that does
not ask within 1 s (0.1 s if another waits for its place) is cut off, and so is one that does not
read for 5 s; the handler of a client that has left is cancelled 5 s later. Who may connect is
decided by the file's mode alone.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from followtheleader.errors import StateError
from followtheleader.host import files

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

MOST_CLIENTS = 64
LONGEST_REQUEST = 64 * 1024
IDLE_SECONDS = 5.0
REQUEST_SECONDS = 1.0
"""A client that connects asks at once: who only holds a place must not keep others out for long."""
CROWDED_SECONDS = 0.1
"""Where all places are taken, who has one and has not asked for so long gives it up."""
_TURNS_TO_READ = 10
"""Of the loop, from an accepted connection to its request, if that is there already."""
_ACCEPT_PAUSE_SECONDS = 0.1
_BACKLOG = 256


class LocalServer:
    """A served socket; made by `serve`."""

    def __init__(self, path: str, mode: int, group: str | None, handler: Handler) -> None:
        self.path = path
        self._mode = mode
        # Once: a name service that stalls must not stall a running agent.
        self._gid = _gid_of(group)
        self._handler = handler
        self._clients: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MOST_CLIENTS)
        self._silent: dict[asyncio.Task[None], float] = {}
        """Clients that have not asked yet, the oldest first."""
        self._begin()

    def is_there(self) -> bool:
        """Does the path still lead to this socket?"""
        try:
            return os.path.samestat(os.lstat(self.path), self._file)
        except OSError:
            return False

    def restore(self) -> None:
        """Make the socket's file again; clients that are being served stay. Raise `StateError`."""
        before = self._acceptor
        self._begin()
        before.cancel()

    def _begin(self) -> None:
        listener, self._file = _listen(self.path, self._mode, self._gid)
        loop = asyncio.get_running_loop()
        self._acceptor = loop.create_task(self._keep_accepting(listener))
        # Not before asyncio has stopped watching it.
        self._acceptor.add_done_callback(lambda _: listener.close())

    async def close(self) -> None:
        """Stop serving, cut off every client, remove the socket's file if it is still ours."""
        self._acceptor.cancel()
        # One accepted just now begins first: cancelled before, it would leave its socket open.
        await asyncio.sleep(0)
        tasks = [self._acceptor, *self._clients]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # asyncio closes the sockets in the loop's next round.
        if self.is_there():
            files.unlink(self.path)

    async def _keep_accepting(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:
                # The client has left already, or there are no file descriptors left.
                await asyncio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            try:
                await self._make_room()
            except asyncio.CancelledError:
                connection.close()
                raise
            client = loop.create_task(self._client(connection))
            self._clients.add(client)
            self._silent[client] = loop.time() + CROWDED_SECONDS
            client.add_done_callback(self._client_ended)

    async def _make_room(self) -> None:
        """Wait for a place; who holds one and has not asked for too long gives it up."""
        while self._slots.locked() and self._silent:
            oldest, until = next(iter(self._silent.items()))
            try:
                async with asyncio.timeout_at(until):
                    await self._slots.acquire()
                return
            except TimeoutError:
                # It may be us who were late: first read what has come.
                for _ in range(_TURNS_TO_READ):
                    await asyncio.sleep(0)
                if self._silent.pop(oldest, None) is not None:
                    oldest.cancel()
                    break
        await self._slots.acquire()

    def _client_ended(self, client: asyncio.Task[None]) -> None:
        self._clients.discard(client)
        self._silent.pop(client, None)
        self._slots.release()

    async def _client(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(
                sock=connection, limit=LONGEST_REQUEST
            )
        except OSError:
            connection.close()
            return
        await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await _read_request(reader)
            self._has_asked()
            reply = await self._answer(line, reader)
            if reply is not None:
                writer.write(reply)
                writer.close()
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.wait_closed()
        except (TimeoutError, ConnectionError, asyncio.CancelledError) as error:
            writer.transport.abort()
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            writer.close()

    def _has_asked(self) -> None:
        me = asyncio.current_task()
        if me is not None:
            self._silent.pop(me, None)

    async def _answer(self, line: bytes | None, reader: asyncio.StreamReader) -> bytes | None:
        """The reply to a request line (None: too long); None if the client has left."""
        if line is None:
            return _line({"error": f"a request is at most {LONGEST_REQUEST} bytes"})
        if not line.endswith(b"\n"):
            return None
        if line == b"role\n":
            reply = await self._handle({"command": "role"}, reader)
            if reply is not None and "role" in reply:
                return f"{reply['role']}\n".encode()
            return None if reply is None else _line(reply)
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return _line({"error": "a request is one line: a JSON object, or the word role"})
        reply = await self._handle(request, reader)
        return None if reply is None else _line(reply)

    async def _handle(
        self, request: dict[str, Any], reader: asyncio.StreamReader
    ) -> dict[str, Any] | None:
        """Run the handler for as long as its client is there."""
        work = asyncio.ensure_future(self._handler(request))
        left = asyncio.ensure_future(_until_end(reader))
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
            # The end of what it says is not yet the end of its listening: `socat` half-closes.
            await asyncio.wait((work,), timeout=IDLE_SECONDS)
            return work.result() if work.done() else None
        finally:
            work.cancel()
            left.cancel()
            await asyncio.gather(work, left, return_exceptions=True)


async def serve(path: str, mode: int, group: str | None, handler: Handler) -> LocalServer:
    """Serve ``path`` with this mode and group (left alone if there is no such group).

    ``handler`` gets each request, ``{"command": "role"}`` for the bare word ``role`` (answered by
    its reply's ``role`` alone), and returns the reply. A stale socket file is replaced. Raises
    `StateError`.
    """
    return LocalServer(path, mode, group, handler)


async def _read_request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readline()
    except ValueError:
        return None


async def _until_end(reader: asyncio.StreamReader) -> None:
    # What a client says after its request is of no interest; only that it ends.
    while await reader.read(4096):
        pass


def _listen(path: str, mode: int, gid: int | None) -> tuple[socket.socket, os.stat_result]:
    # Bound under another name and renamed: the path never shows a socket with the wrong mode, and
    # a stale file is replaced without a moment in which there is none.
    temporary = f"{path}.new"
    if len(os.fsencode(temporary)) > 107:
        raise StateError(f"{path}: longer than the 103 bytes of a socket's path; use --runtime-dir")
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:  # no descriptor is left
        raise files.unwritable(path, error) from None
    try:
        files.unlink(temporary)
        listener.bind(temporary)
        file = _give_away(temporary, mode, gid)
        listener.listen(_BACKLOG)
        os.rename(temporary, path)
    except OSError as error:
        listener.close()
        files.unlink(temporary)
        raise files.unwritable(path, error) from None
    listener.setblocking(False)
    return listener, file


def _gid_of(group: str | None) -> int | None:
    if group is None:
        return None
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _give_away(path: str, mode: int, gid: int | None) -> os.stat_result:
    """Let these others connect to our socket at ``path``; what it is then.

    Where the directory is another user's, something else may lie there by now: it stays as it is.
    """
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(errno.EEXIST, "another file was put in its place")
        held = f"/proc/self/fd/{fd}"
        if gid is not None:
            # We may not be in it: then the socket stays with our own user and group.
            with suppress(PermissionError):
                os.chown(held, -1, gid)
        os.chmod(held, mode)
        return os.fstat(fd)
    finally:
        os.close(fd)


def _line(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode() + b"\n"
