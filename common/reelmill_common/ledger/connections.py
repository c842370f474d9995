"""The few connections to Redis that all threads of a worker's process share: a server has room for so many."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import redis
from redis.sentinel import SentinelConnectionPool

from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.ledger.primary import pool_of

MOST = 2
"""Connections of one process: one in use, and one for a thread that must not wait for it. Kombu needs both when it puts
a message back."""
A_WORKER = 6
"""Connections of one worker at most: these of its parent and of its child, and two on which the parent listens."""
LOOK_S = 0.05
"""Seconds between two tries to get a connection where the server has none to give."""


class ConnectedFirst(queue.LifoQueue[Any]):
    """Gives a connection that is open before one that has to be opened, which the server may refuse."""

    def _get(self) -> Any:
        last = len(self.queue) - 1
        is_open = (at for at in range(last, -1, -1) if self.queue[at] is not None and self.queue[at].is_connected)
        return self.queue.pop(next(is_open, last))


class SharedConnections(redis.BlockingConnectionPool):
    """At most `MOST` connections. A thread waits for one that another has in use.

    Where the server has no room for a further one, the one that is there serves all: a worker that can claim a job can
    also send the next.
    """

    def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """Return a connection; wait for another thread's where the server gives no further one."""
        del command_name, keys, options  # redis-py passes none any more
        deadline = time.monotonic() + float(self.timeout)
        while True:
            try:
                return super().get_connection()  # type: ignore[no-untyped-call]  # redis-py has no types here
            except redis.ConnectionError:
                if time.monotonic() > deadline or not any(one.is_connected for one in list(self._connections)):
                    raise
                time.sleep(LOOK_S)


class SharedSentinelConnections(SharedConnections, SentinelConnectionPool):  # pyright: ignore[reportIncompatibleMethodOverride] - redis-py's own pools differ
    """The same to the server that the Sentinels name."""


_pools: dict[RedisAddress, SharedConnections] = {}
_lock = threading.Lock()


def shared_pool(address: RedisAddress, *, wait_s: float, **options: Any) -> SharedConnections:
    """Return this process' connections to a server, made at its first call; their answers are text.

    Args:
        address: Where the server is.
        wait_s: Longest wait for a connection that another thread has in use.
        **options: What a connection of redis-py takes.
    """
    with _lock:
        if address not in _pools:
            given = {**options, "decode_responses": True, "max_connections": MOST, "timeout": wait_s}
            kinds = SharedConnections, SharedSentinelConnections
            _pools[address] = pool_of(address, *kinds, queue_class=ConnectedFirst, **given)
        return _pools[address]
