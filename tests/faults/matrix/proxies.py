"""Proxies between a worker and its servers, so that a network can fail: one for TCP, one for the store's HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST instead of FIN
_ERROR = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>made by the fault matrix</Message></Error>'


@dataclass(slots=True, kw_only=True)
class TcpProxy:
    """Forwards TCP connections. Bytes are held back, not dropped, while it is cut: TCP sends lost ones again."""

    loop: asyncio.AbstractEventLoop
    target: int
    port: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])
    _server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Let nothing through any more; connections stay open, as with a cable that is pulled."""
        self.loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        """Let through again, what waited first."""
        self.loop.call_soon_threadsafe(self._open.set)

    def reset(self) -> int:
        """Reset all open connections; return how many there were."""
        return asyncio.run_coroutine_threadsafe(self._reset(), self.loop).result()

    async def _reset(self) -> int:
        ends, self._ends = self._ends, set()
        for end in ends:
            sock = end.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()
        return len(ends) // 2

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            answers, requests = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(requests)
            self._ends.update(ends)
            await asyncio.gather(self._pump(reader, requests), self._pump(answers, writer))
        self._ends.difference_update(ends)
        for end in ends:
            end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65_536):
            await self._open.wait()
            target.write(piece)
            await target.drain()
        target.write_eof()


class Behaviour(StrEnum):
    """How the proxy before the store treats a request."""

    FINE = "fine"
    ERROR_500 = "answers 500"
    SILENT = "never answers"
    REFUSING = "refuses connections"
    LOSING = "stores, then loses the reply"


@dataclass(slots=True, kw_only=True)
class StoreProxy:
    """An HTTP proxy before the S3 server. One connection to the server for each request keeps it short.

    Attributes:
        spoilt: Requests that were not treated well.
    """

    loop: asyncio.AbstractEventLoop
    target: int
    port: int = 0
    behaviour: Behaviour = Behaviour.FINE
    spoilt: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _clients: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def behave(self, behaviour: Behaviour) -> None:
        """Change the behaviour. Refusing ends the open connections too, as a server that died does."""
        asyncio.run_coroutine_threadsafe(self._behave(behaviour), self.loop).result()

    async def _behave(self, behaviour: Behaviour) -> None:
        before, self.behaviour = self.behaviour, behaviour
        if behaviour is Behaviour.REFUSING and self._server is not None:
            self._server.close()
            for client in list(self._clients):
                client.transport.abort()
        elif before is Behaviour.REFUSING:
            await self.listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve(reader, writer):
                pass
        self._clients.discard(writer)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in _lines(head)}
        if fields.get(b"expect", b"").lower() == b"100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        is_put = head.startswith(b"PUT ")
        if self.behaviour is not Behaviour.FINE and (is_put or self.behaviour is not Behaviour.LOSING):
            self.spoilt += 1
        if self.behaviour is Behaviour.SILENT:
            await asyncio.Event().wait()  # until the client has had enough
        if self.behaviour is Behaviour.ERROR_500:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n" % len(_ERROR) + _ERROR)
            await writer.drain()
            return True
        answer, goes_on = _kept_open(await self._forward(head, body), is_head=head.startswith(b"HEAD "))
        if self.behaviour is Behaviour.LOSING and is_put:
            return False
        writer.write(answer)
        await writer.drain()
        return goes_on

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        first, _, rest = head.partition(b"\r\n")
        kept = [
            line for line in rest.split(b"\r\n") if line and not line.lower().startswith((b"expect:", b"connection:"))
        ]
        answers, requests = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            requests.write(b"\r\n".join([first, *kept, b"Connection: close", b"", b""]) + body)
            await requests.drain()
            return await answers.read()
        finally:
            requests.transport.abort()


def _kept_open(answer: bytes, *, is_head: bool) -> tuple[bytes, bool]:
    """Take out that the server closes its connection, where the client can tell the answer's end without that."""
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in _lines(head)}
    is_framed = is_head or head.split(b" ")[1] == b"204" or fields.get(b"content-length") == b"%d" % len(body)
    kept = [line for line in head.split(b"\r\n") if not is_framed or not line.lower().startswith(b"connection:")]
    return b"\r\n\r\n".join([b"\r\n".join(kept), body]), is_framed


def _lines(head: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in head.split(b"\r\n")[1:] if line]


@dataclass(slots=True, kw_only=True)
class Proxies:
    """The event loop of all proxies, in a thread of its own."""

    loop: asyncio.AbstractEventLoop

    def tcp(self, target: int) -> TcpProxy:
        """Open a TCP proxy to a port of 127.0.0.1."""
        return self._on_loop(self._listening(TcpProxy, target))

    def store(self, target: int) -> StoreProxy:
        """Put an HTTP proxy before the S3 server at a port of 127.0.0.1."""
        return self._on_loop(self._listening(StoreProxy, target))

    async def _listening(self, kind: type[Any], target: int) -> Any:
        made = kind(loop=self.loop, target=target)
        await made.listen()
        return made

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextmanager
def proxies() -> Iterator[Proxies]:
    """Run the loop for the length of a block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    try:
        yield Proxies(loop=loop)
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
