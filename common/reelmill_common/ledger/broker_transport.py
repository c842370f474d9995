"""Kombu's Redis transport, made to follow the primary, and so that what it reads or is refused ends no worker's parent.

Kombu reads what it takes out of a list before Celery, or `message_filter`, sees it. Text that is not JSON, an envelope
without properties, or a body of another kind raises through the event loop and ends the parent, and the model with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from kombu.exceptions import DecodeError
from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ResponseError

from reelmill_common.ledger.connections import (
    NotPrimary,
    PrimaryConnection,
    PrimarySSLConnection,
    SentinelConnection,
    SentinelSSLConnection,
)

log = structlog.get_logger(__name__)

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, DecodeError, RecursionError)
"""What reading an envelope can raise; errors of the connection are not among them, and pass."""


class QoS(redis.QoS):
    """Counts the unacknowledged messages."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, also if the server refuses or is a replica: else none comes any more.

        What the server keeps of it comes again after `VISIBILITY_TIMEOUT_S`, and dies at claim.
        """
        try:
            super().ack(delivery_tag)
        except (ResponseError, NotPrimary) as err:
            log.debug("message.not_acknowledged", error=str(err))
            super(redis.QoS, self).ack(delivery_tag)


class _Channel:
    """What both channels do in another way than kombu's: they follow the primary and drop an unreadable message.

    Such a message has left the list by then, so it does not come again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open it, and give back the connection on which kombu has just asked whether the server answers.

        A channel that only publishes never uses it again, and a server has room for so many connections only.
        """
        super().__init__(*args, **kwargs)
        pools: Any = self
        pools.async_pool.disconnect()

    def _brpop_read(self, **options: Any) -> Any:
        kombu: Any = super()
        return _survived(lambda: kombu._brpop_read(**options))  # noqa: SLF001 - the method that it replaces

    def _receive(self) -> Any:
        kombu: Any = super()
        return _survived(kombu._receive)  # noqa: SLF001 - as above


class Channel(_Channel, redis.Channel):
    """A channel to one server."""

    QoS = QoS
    connection_class = PrimaryConnection
    connection_class_ssl = PrimarySSLConnection


class SentinelChannel(_Channel, redis.SentinelChannel):
    """A channel to the server that the Sentinels name."""

    QoS = QoS
    connection_class = SentinelConnection
    connection_class_ssl = SentinelSSLConnection


class Transport(redis.Transport):
    """Kombu's Redis transport with these channels.

    A server that refuses (full, a replica, without replicas, no room on its disk, busy) counts as a lost connection.
    Kombu takes its answer for an error of the channel, which ends a worker's parent, and the model with it.
    """

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)


class SentinelTransport(redis.SentinelTransport):
    """The same by Sentinel."""

    Channel = SentinelChannel
    connection_errors = Transport.connection_errors


def install() -> None:
    """Use this transport for every Redis connection of the process. Kombu chooses it by the scheme of the URL."""
    for scheme, kind in (("redis", Transport), ("rediss", Transport), ("sentinel", SentinelTransport)):
        TRANSPORT_ALIASES[scheme] = f"{kind.__module__}:{kind.__name__}"


def _survived(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UNREADABLE as err:
        log.error("message.dropped", why=f"it is not a message: {type(err).__name__}: {err}"[:200])  # noqa: TRY400 - no bug of ours
        return None
