"""Reading the broker so that neither what is no message at all nor a refusal of the server ends the worker's parent.

Kombu reads what it takes out of a list before Celery, or `inbox`, sees it: text that is no JSON, an envelope without
properties, or a body of another kind raises through the event loop, and the parent ends, and with it the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from kombu.exceptions import DecodeError
from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ResponseError

log = structlog.get_logger(__name__)

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, DecodeError, RecursionError)
"""What reading an envelope can raise; errors of the connection are others, and pass."""


class QoS(redis.QoS):
    """Counts the messages in hand."""

    def ack(self, delivery_tag: str) -> None:
        """Let a message go, also where the server refuses to: it would count as in hand for ever, and none would come.

        What the server keeps of it comes again after `VISIBILITY_TIMEOUT_S`, and dies at claim.
        """
        try:
            super().ack(delivery_tag)
        except ResponseError as err:
            log.debug("message.not_acknowledged", error=str(err))
            super(redis.QoS, self).ack(delivery_tag)


class Channel(redis.Channel):
    """A channel that drops what it cannot read. It has left the list by then, so it does not come again."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        kombu: Any = super()
        return _survived(lambda: kombu._brpop_read(**options))  # noqa: SLF001 - the method that it replaces

    def _receive(self) -> Any:
        kombu: Any = super()
        return _survived(kombu._receive)  # noqa: SLF001 - as above


class Transport(redis.Transport):
    """Kombu's Redis transport with such channels.

    A server that refuses (full, a replica, without replicas, no room on its disk, busy) is a lost connection. Kombu
    counts its answer as an error of the channel, and that ends a worker's parent, and with it the model.
    """

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)


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
