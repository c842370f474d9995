"""Reading the broker so that what is no message at all is dropped, and does not end the worker's parent.

Kombu reads what it takes out of a list before Celery, or `inbox`, sees it: text that is no JSON, an envelope without
properties, or a body of another kind raises through the event loop, and the parent ends, and with it the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from kombu.exceptions import DecodeError
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, DecodeError, RecursionError)
"""What reading an envelope can raise; errors of the connection are others, and pass."""


class Channel(redis.Channel):
    """A channel that drops what it cannot read. It has left the list by then, so it does not come again."""

    def _brpop_read(self, **options: Any) -> Any:
        kombu: Any = super()
        return _survived(lambda: kombu._brpop_read(**options))  # noqa: SLF001 - the method that it replaces

    def _receive(self) -> Any:
        kombu: Any = super()
        return _survived(kombu._receive)  # noqa: SLF001 - as above


class Transport(redis.Transport):
    """Kombu's Redis transport with such channels."""

    Channel = Channel


def install() -> None:
    """Let every Redis connection of this process read so. Kombu takes its transports by the scheme of the URL."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{Transport.__module__}:{Transport.__name__}"


def _survived(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UNREADABLE as err:
        log.error("message.dropped", why=f"it is no message: {type(err).__name__}: {err}"[:200])  # noqa: TRY400 - no bug of ours
        return None
