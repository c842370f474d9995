"""Kombu's Redis transport, made to follow the primary, and so that what it reads or is refused ends no worker's parent.

Kombu reads what it takes out of a list before Celery, or `message_filter`, sees it. Text that is not JSON, an envelope
without properties, or a body of another kind raises through the event loop and ends the parent, and the model with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import structlog
from kombu.exceptions import DecodeError
from kombu.transport import TRANSPORT_ALIASES, redis
from redis import ConnectionPool
from redis.exceptions import RedisError, ResponseError

from reelmill_common.ledger.primary import (
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

    Such a message has left the list by then, so it does not come again. All but the two connections on which a consumer
    listens is done on those that the process shares, if it shares any.
    """

    shared: ClassVar[ConnectionPool | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open it; a channel that only publishes has no connection of its own."""
        super().__init__(*args, **kwargs)
        self.__dict__.pop("client", None)  # with which kombu has just asked whether the server answers

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - the method that it replaces
        kombu, channel = cast("Any", super()), cast("Any", self)  # their stubs lack what is used here
        listens = asynchronous and channel._registered  # noqa: SLF001 - false while kombu only asks for an answer
        return kombu._create_client(asynchronous=listens)  # noqa: SLF001 - the method that it replaces

    def _get_pool(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - the method that it replaces
        kombu: Any = super()
        own = kombu._get_pool(asynchronous=asynchronous)  # noqa: SLF001 - as above; also completes the topics' names
        return own if asynchronous or self.shared is None else self.shared

    def _disconnect_pools(self) -> None:
        kombu: Any = super()
        if self.__dict__.get("_pool") is self.shared:
            self.__dict__["_pool"] = None  # others use it
        kombu._disconnect_pools()  # noqa: SLF001 - the method that it replaces

    def close(self) -> None:
        """Close it without waiting for the fetch that is under way, which may take `broker.FETCH_WAIT_S`.

        A message that has come is read, and goes back to its list. One that the server sends just then is
        lost here; the ledger sees that it is adrift and sends it again.
        """
        channel: Any = self  # kombu's stub does not type what is used here
        fetch = channel._in_poll  # noqa: SLF001 - the connection of the fetch, while one is under way
        if fetch and not _has_data(fetch):
            fetch.disconnect()
            channel._in_poll = None  # noqa: SLF001 - as above
        channel_of_kombu: Any = super()
        channel_of_kombu.close()

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


def share(pool: ConnectionPool) -> None:
    """Let all channels of the process use these connections for everything but to listen."""
    _Channel.shared = pool


def _has_data(connection: Any) -> bool:
    try:
        return bool(connection.can_read(timeout=0))
    except (RedisError, OSError):
        return False


def _survived(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UNREADABLE as err:
        log.error("message.dropped", why=f"it is not a message: {type(err).__name__}: {err}"[:200])  # noqa: TRY400 - no bug of ours
        return None
