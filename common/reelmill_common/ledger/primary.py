"""Clients of a farm's Redis that follow its primary: by Sentinel, or to where the endpoint of a managed one has moved.

A server that stops being the primary may leave connections open, and answers each write on them with an error. Such a
connection is closed, so that what was asked is asked again on a new one, and that leads to the primary.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import redis
from redis.exceptions import ClusterDownError, MasterDownError
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool, SentinelManagedConnection

from reelmill_common.config.redis_address import RedisAddress, Sentinels

Pool = TypeVar("Pool", bound=redis.ConnectionPool)

SENTINEL_S: Final = 1.0
"""Seconds to wait for one Sentinel, or for a connection to it: the next one is asked then."""

LEFT: Final = ("READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "UNBLOCKED")
"""First words of the answers of a server that is perhaps not the primary any more. Such an answer has changed nothing.
`LOADING` is to redis-py a broken connection already."""
_CLASSES: Final = {redis.ReadOnlyError: "READONLY", MasterDownError: "MASTERDOWN", ClusterDownError: "CLUSTERDOWN"}
"""What redis-py makes of some of them, without the word."""


class NotPrimary(redis.ConnectionError):
    """The server answered that it is not the primary, and the connection is closed; the message is its answer."""


def as_left(err: redis.ResponseError) -> NotPrimary | None:
    """Return an answer of a server that is perhaps not the primary any more as a broken connection; None for others."""
    word = next((word for kind, word in _CLASSES.items() if type(err) is kind), "")
    text = f"{word} {err}".strip()
    return NotPrimary(text) if text.startswith(LEFT) else None


class PrimaryConnection(redis.Connection):
    """A connection that closes when its server is not the primary any more, and then counts as broken."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read one answer.

        Raises:
            NotPrimary: The server cannot serve as the primary; what was asked has changed nothing.
        """
        try:
            return super().read_response(*args, **kwargs)
        except redis.ResponseError as err:
            if (left := as_left(err)) is None:
                raise
            self.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here
            raise left from err


class PrimarySSLConnection(PrimaryConnection, redis.SSLConnection):
    """The same by TLS."""


class SentinelConnection(SentinelManagedConnection, PrimaryConnection):
    """The same to the server that the Sentinels name each time that it is opened."""

    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Send a command, on a connection that broke by asking the Sentinels again.

        redis-py asks them only when a connection leaves its pool. A command that is tried again on the one that it has
        would otherwise meet the server that is not the primary any more.

        Raises:
            redis.ConnectionError: Neither the Sentinels nor the server that they name can be reached.
        """
        self._connect_retry()  # type: ignore[no-untyped-call]  # redis-py has no types here; open connections stay
        super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call]  # as above


class SentinelSSLConnection(SentinelConnection, redis.SSLConnection):
    """The same by TLS."""


class SentinelsRefuse(MasterNotFoundError):
    """The Sentinels want another password, or do not watch the service: waiting does not help."""


class QuietSentinels(Sentinel):
    """Sentinels to which no connection is kept: each process of a farm asks them once in hours.

    Attributes:
        place: The service and the hosts, for messages.
    """

    def __init__(self, watched: Sentinels, options: Mapping[str, Any]) -> None:
        waits = {
            "socket_timeout": SENTINEL_S,
            "socket_connect_timeout": SENTINEL_S,
            "retry": None,
            "decode_responses": True,
        }
        super().__init__(watched.hosts, sentinel_kwargs={**options, **waits})  # type: ignore[no-untyped-call]  # redis-py has no types here
        self.place = str(watched)
        self._asking = threading.Lock()

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask one after the other for host and port of the primary.

        Raises:
            MasterNotFoundError: None of them answers.
            SentinelsRefuse: The password or the service is not theirs.
        """
        problems: list[str] = []
        refuse = False
        with self._asking:
            for sentinel in list(self.sentinels):
                try:
                    # It names the new primary as soon as that is one; SENTINEL MASTER does so seconds later.
                    found: Any = sentinel.sentinel_get_master_addr_by_name(service_name)
                except (redis.RedisError, OSError) as err:
                    refuse = refuse or isinstance(err, redis.AuthenticationError | redis.ResponseError)
                    problems.append(f"{_host(sentinel)}: {err}")
                    continue
                finally:
                    sentinel.close()
                if found is not None:
                    self.sentinels.remove(sentinel)
                    self.sentinels.insert(0, sentinel)  # asked first from now on
                    return str(found[0]), int(found[1])
                refuse = True
                problems.append(f"{_host(sentinel)}: it does not watch this service")
        raise (SentinelsRefuse if refuse else MasterNotFoundError)("; ".join(problems))


def _host(sentinel: redis.Redis) -> str:
    return "{host}:{port}".format_map(sentinel.connection_pool.connection_kwargs)


def open_client(address: RedisAddress, **options: Any) -> redis.Redis:
    """Return a client of the primary at an address; nothing is connected yet.

    Args:
        address: One server, or Sentinels.
        options: What redis-py's connections take beside, such as `socket_timeout`.
    """
    return redis.Redis.from_pool(pool_of(address, redis.ConnectionPool, SentinelConnectionPool, **options))


def pool_of(address: RedisAddress, direct: type[Pool], watched: type[Pool], **options: Any) -> Pool:
    """Return a pool of connections to the primary at an address; nothing is connected yet.

    Args:
        address: One server, or Sentinels.
        direct: The pool's class for one server.
        watched: Its class for Sentinels: a `SentinelConnectionPool` too.
        options: What these classes and their connections take.
    """
    given = {**address.client_options(), **options}
    sentinels, tls = address.sentinels, address.tls is not None
    if sentinels is None:
        kind = PrimarySSLConnection if tls else PrimaryConnection
        return direct(connection_class=kind, host=address.host, port=address.port, **given)
    given["connection_class"] = SentinelSSLConnection if tls else SentinelConnection
    given["sentinel_manager"] = QuietSentinels(sentinels, address.sentinel_options())
    return watched(service_name=sentinels.service, **given)
