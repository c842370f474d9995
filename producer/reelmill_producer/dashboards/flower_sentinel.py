"""Flower's lengths of queues by Sentinel: Flower itself asks the first Sentinel only, and reads database 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flower import views
from flower.utils.broker import RedisSentinel
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from reelmill_common.config.redis_address import RedisAddress, Sentinels


class SentinelQueues(RedisSentinel):  # type: ignore[misc]  # Flower has no types
    """Reads the queues at the primary that any of a farm's Sentinels names."""

    watched: Sentinels

    def _get_redis_client(self, broker_options: Any, broker_use_ssl: Any) -> Any:
        waits = {"socket_connect_timeout": self.socket_connect_timeout, "socket_timeout": self.socket_timeout}
        tls: dict[str, Any] = {"ssl": True, **broker_use_ssl} if broker_use_ssl else {}
        self._sentinels = Sentinel(self.watched.hosts, sentinel_kwargs=broker_options["sentinel_kwargs"])  # type: ignore[no-untyped-call]  # redis-py has none here
        login = {"username": self.username, "password": self.password, "db": self.vhost}
        return self._sentinels.master_for(self.watched.service, retry=Retry(NoBackoff(), 0), **waits, **login, **tls)

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return each queue's name and number of messages."""
        try:
            found: list[dict[str, Any]] = await super().queues(names)
            return found
        finally:
            for sentinel in self._sentinels.sentinels:
                await sentinel.aclose()


def follow_sentinels(address: RedisAddress) -> None:
    """Let Flower's pages ask the Sentinels of an address, if it has any."""
    if address.sentinels is not None:
        views.Broker = type("Queues", (SentinelQueues,), {"watched": address.sentinels})
