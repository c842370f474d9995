"""The Redis server behind a ledger: connecting, checking it, running functions on it, and its errors as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.errors import InvalidSettings, LedgerRefused
from reelmill_common.ledger.connections import SharedConnections, shared_pool
from reelmill_common.ledger.library import library
from reelmill_common.ledger.primary import QuietSentinels, open_client
from reelmill_common.ledger.refusals import DENIED, denied, explain
from reelmill_common.ledger.rights import missing
from reelmill_common.settings import Settings

SCHEMA = "1"
"""Version of the ledger's keys. A client that meets another one does not touch them."""
OLDEST_REDIS = (7, 0)
"""Valkey reports 7.2 or newer here. 7.0 is the oldest Redis with function libraries."""

CONFIRMS_DISK = (7, 2)
"""The oldest Redis that can say what is on its disk (WAITAOF). Valkey can."""

SCAN_COUNT = 200
"""Fields of a hash that are asked for at once."""

HEALTH_CHECK_S = 25
RETRIES = 2
"""Times that a command is sent again when the connection broke. Each function may safely run twice for one call: the
second run of a claim or a pump finds the first one's work done, and what is then not taken up is reaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a client waits for a server that does not answer.

    Attributes:
        answer_s: Seconds for one answer.
        connect_s: Seconds for a connection.
        retried: What a command is sent again after.
    """

    answer_s: float
    connect_s: float
    retried: tuple[type[Exception], ...]

    def options(self) -> dict[str, Any]:
        """Return what `redis.Redis` takes."""
        return {
            "socket_timeout": self.answer_s,
            "socket_connect_timeout": self.connect_s,
            "socket_keepalive": True,
            "health_check_interval": HEALTH_CHECK_S,
            "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), RETRIES, supported_errors=self.retried),
        }


PATIENT = Patience(answer_s=10.0, connect_s=5.0, retried=(redis.ConnectionError, redis.TimeoutError, TimeoutError))
"""For workers, which can only wait."""
PROMPT = Patience(answer_s=3.0, connect_s=3.0, retried=(redis.ConnectionError,))
"""For commands, which answer, or say that Redis does not, within five seconds."""

log = structlog.get_logger()


class Server:
    """A connection pool, and the only way from the ledger to Redis. Safe to use from several threads."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        pool = client.connection_pool
        if not pool.connection_kwargs.get("decode_responses"):
            raise ValueError("the ledger reads text: build the Redis client with decode_responses=True")
        self._redis = client
        self._prefix = prefix
        self._maxclients = 0  # until it has been asked
        self._tls = issubclass(pool.connection_class, redis.SSLConnection)
        given: Mapping[str, Any] = {"host": "?", "port": "?"} | pool.connection_kwargs
        sentinels = pool.sentinel_manager if isinstance(pool, SentinelConnectionPool) else None
        watched = sentinels.place if isinstance(sentinels, QuietSentinels) else ""
        self.address = watched or "{host}:{port}".format_map(given)

    def check(self) -> None:
        """Refuse a server that cannot keep a ledger; warn of one that may throw it away.

        Raises:
            LedgerUnavailable: The server does not answer.
            LedgerRefused: The server is too old, read-only or full, does not know us, or holds a newer ledger.
        """
        with self.translated():
            info: dict[str, Any] = self._redis.info()
        self._maxclients = int(info.get("maxclients") or 0)
        if info.get("cluster_enabled"):
            raise LedgerRefused(
                f"Redis at {self.address} runs in cluster mode, which Celery's queues cannot use: "
                "set cluster-enabled no, or use another server"
            )
        version = version_of(info)
        if version < OLDEST_REDIS:
            raise LedgerRefused(
                f"Redis at {self.address} is version {info['redis_version']}; the ledger needs "
                f"{'.'.join(map(str, OLDEST_REDIS))} or newer, or any Valkey"
            )
        if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
            log.warning("redis.may_evict", address=self.address, policy=info.get("maxmemory_policy"))
        schema = self.run("open", SCHEMA)
        if schema != SCHEMA:
            newer = str(schema).isdigit() and int(schema) > int(SCHEMA)
            advice = "upgrade Reelmill here" if newer else "let the older Reelmill that wrote it finish its batches"
            raise LedgerRefused(
                f"the ledger at {self.address} has schema {schema}, and this version knows {SCHEMA}: "
                f"{advice}, or use another farm name"
            )

    def forgets(self) -> str:
        """Say what this server may forget beyond the last second or two, or cannot answer for; or ""."""
        with self.translated():
            info: dict[str, Any] = self._redis.info()
        if not info.get("aof_enabled"):
            return "it keeps no append-only file: a crash forgets all since its last snapshot; set appendonly yes"
        if version_of(info) < CONFIRMS_DISK:
            return (
                f"version {info['redis_version']} cannot confirm what is on its disk, so what a power cut takes is "
                "unknown; use Redis 7.2 or newer, or any Valkey"
            )
        return ""

    def check_rights(self) -> None:
        """Refuse a server on which our user lacks a right, or that lacks a command; changes nothing there.

        Raises:
            LedgerUnavailable: The server does not answer.
            LedgerRefused: Something is lacking; the message has the exact rights.
        """
        farm = self._prefix.partition("{")[2].partition("}")[0]
        with self.translated():
            lacking = missing(self._redis, farm, int(self._redis.connection_pool.connection_kwargs.get("db") or 0))
        if lacking:
            raise denied(self.address, lacking)

    def run(self, name: str, *args: str | float) -> Any:
        """Run one function of the library and return its answer."""
        return self.run_many(name, [args])[0]

    def run_many(self, name: str, calls: Sequence[Sequence[str | float]]) -> list[Any]:
        """Run one function several times in one round trip; each run is atomic, the whole is not."""
        function = library().function(name)
        commands = [("FCALL", function, 1, self._prefix, *args) for args in calls]
        with self.translated():
            answers = self._send(commands)
            missing = [index for index, answer in enumerate(answers) if _is_no_function(answer)]
            if missing:  # the server is new, or has met older versions only
                self._load()
                again = self._send([commands[index] for index in missing])
                for index, answer in zip(missing, again, strict=True):
                    answers[index] = answer
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    def run_pages(self, name: str, calls: Sequence[Sequence[str | float]]) -> list[Any]:
        """Run one function several times, each in a round trip of its own: other clients are served in between.

        A server works off what came in one piece before it looks at others.
        """
        return [self.run(name, *args) for args in calls]

    def _load(self) -> None:
        """Give the server our library, unless another client was faster: to load it again would make it forget."""
        try:
            self._redis.function_load(library().source)
        except ResponseError as err:
            if "already exists" not in str(err):
                raise

    def read(self, commands: Sequence[tuple[str | float, ...]]) -> list[Any]:
        """Run commands that change nothing, in one round trip."""
        with self.translated():
            answers = self._send(commands)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    def values_of(self, hash_key: str) -> Iterator[str]:
        """Yield the values of a hash in pages; one that was there all the time is among them, maybe twice."""
        cursor = -1
        while cursor:
            (answer,) = self.read([("HSCAN", hash_key, max(0, cursor), "COUNT", SCAN_COUNT)])
            cursor, fields = int(answer[0]), answer[1]
            yield from fields.values() if isinstance(fields, dict) else fields[1::2]

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that was written so far is on the server's disk; False if that is not so in time, or unknown.

        Only a server with an append-only file can say (Valkey, Redis 7.2). With `everysec` it takes up to a second.
        """
        mark = f"{self._prefix}settled"
        with self.translated():
            # On one connection: the server waits for what this connection wrote, and what came before it, is flushed.
            answers = self._send([("SET", mark, 1), ("WAITAOF", 1, 0, int(timeout_s * 1000))])
        return isinstance(answers[1], list) and answers[1][0] == 1

    def replicated(self, replicas: int, timeout_s: float) -> int:
        """Wait until so many replicas have all that was written so far; return how many have it, maybe fewer."""
        with self.translated():
            # On one connection, as in `settle`. A replica has it in memory; its disk is up to a second later.
            answers = self._send([("SET", f"{self._prefix}settled", 1), ("WAIT", replicas, int(timeout_s * 1000))])
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return int(answers[1])

    def _send(self, commands: Sequence[tuple[str | float, ...]]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types here
            return pipeline.execute(raise_on_error=False)

    def wait_for_event(self, streams: Sequence[str], after: str, block_s: float) -> None:
        """Return when one of some streams has something after an id, or when the time is over."""
        answer_s = float(self._redis.connection_pool.connection_kwargs.get("socket_timeout") or block_s * 2)
        block_s = min(block_s, answer_s / 2)  # else the socket gives up before the server does
        with self.translated():
            self._redis.xread(dict.fromkeys(streams, after), count=1, block=max(1, int(block_s * 1000)))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    @contextlib.contextmanager
    def translated(self) -> Generator[None]:
        """Turn redis-py's errors into ours. What is left is a bug of ours and passes as it is."""
        try:
            yield
        except (redis.RedisError, OSError) as err:
            explained = explain(err, self.address, tls=self._tls, maxclients=self._maxclients)
            if explained is None:
                raise
            raise explained from err


def connect(settings: Settings, prefix: str, *, patience: Patience = PATIENT, shared: bool = False) -> redis.Redis:
    """Return a client of the server at `settings.redis_url`, after a check that it serves.

    Args:
        settings: Settings of the farm.
        prefix: Prefix of the farm's keys.
        patience: How long to wait for answers, where the connections are not shared.
        shared: Whether to use the few connections that all of this process shares, as a worker does.

    Raises:
        InvalidSettings: The URL cannot be used.
        LedgerUnavailable: As `Server.check`.
        LedgerRefused: As `Server.check`.
    """
    client = (
        redis.Redis(connection_pool=process_connections(settings))
        if shared
        else open_client(address_of(settings), **patience.options(), decode_responses=True)
    )
    server = Server(client, prefix)
    try:
        server.check()
    except BaseException as err:
        try:
            if isinstance(err, LedgerRefused) and DENIED in str(err):
                server.check_rights()  # names all that is lacking, not only what was met first
        finally:
            client.close()
        raise
    return client


def process_connections(settings: Settings) -> SharedConnections:
    """Return the connections that all of this process shares.

    Raises:
        InvalidSettings: The URL cannot be used.
    """
    wait_s = PATIENT.answer_s * (RETRIES + 1)
    return shared_pool(address_of(settings), wait_s=wait_s, **PATIENT.options())


def address_of(settings: Settings) -> RedisAddress:
    """Return where the farm's Redis is, with its TLS policy checked.

    Raises:
        InvalidSettings: The URL cannot be read, or a file that it names cannot be used.
    """
    try:
        address = RedisAddress.parse(settings.redis_url)
        if address.tls is not None:
            address.tls.check()
    except ValueError as err:
        raise InvalidSettings(f"REELMILL_REDIS_URL {err}") from None  # not chained: what it came from may quote the URL
    return address


def version_of(info: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the version that decides what a server can do: of a Valkey, that of the Redis that it stands for."""
    return tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])


def _is_no_function(answer: object) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)
