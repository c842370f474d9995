"""The server: uvicorn on a socket of ours, that ends its streams before it waits for its requests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

import uvicorn
from fastapi import FastAPI

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings
from reelmill_producer.web.app import make_app
from reelmill_producer.web.console import Console
from reelmill_producer.web.headers import is_loopback

DRAIN_S = 10
"""Seconds that requests may still take when the server is to end."""


class ConsoleServer(uvicorn.Server):
    """A server that ends all streams of events when it is to stop: they would go on for ever."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order."""
        app = self.config.app
        assert isinstance(app, FastAPI)  # noqa: S101 - we made it
        console: Console = app.state.console
        console.feed.end()
        await super().shutdown(sockets)


def bound(settings: Settings) -> socket.socket:
    """Return a socket that listens on the console's address.

    Raises:
        InvalidSettings: It is not available.
    """
    family = socket.AF_INET6 if ":" in settings.console_address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.console_address, settings.console_port))
        listening.listen(2048)
    except OSError as err:
        listening.close()
        raise InvalidSettings(
            f"cannot listen on {settings.console_address} port {settings.console_port} ({err.strerror}); "
            "give another --address or --port, or --port 0 for any that is free"
        ) from err
    return listening


def address_of(listening: socket.socket, settings: Settings) -> str:
    """Return the URL of a console that listens on a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.console_root_path}/"


def make_server(settings: Settings, *, is_open: bool) -> ConsoleServer:
    """Make a server.

    Raises:
        InvalidSettings: It would be open to more than this machine.
    """
    if is_open and not is_loopback(settings.console_address):
        raise InvalidSettings(
            f"--open lets everyone in, and {settings.console_address} can be reached from other hosts; make a token "
            "with `reelmill token add`, or listen on 127.0.0.1"
        )
    config = uvicorn.Config(
        make_app(settings, is_open=is_open),
        http=_protocol(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.console_proxies.split(","),
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=30,
        ws="none",
    )
    return ConsoleServer(config)


@contextmanager
def in_background(settings: Settings, *, is_open: bool) -> Generator[str]:
    """Serve in a thread until the end of the block; give the URL.

    Raises:
        InvalidSettings: The address is not available.
    """
    server = make_server(settings, is_open=is_open)
    with bound(settings) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), name="console", daemon=True)
        thread.start()
        try:
            yield address_of(listening, settings)
        finally:
            server.should_exit = True
            thread.join(DRAIN_S + 5)


def _protocol(settings: Settings) -> type[asyncio.Protocol] | Literal["auto"]:
    if find_spec("httptools") is None:  # Windows: h11, whose heads have no limit in time
        return "auto"
    from reelmill_producer.web.protocol import timed  # noqa: PLC0415 - needs httptools

    return timed(settings.console_body_timeout_s)
