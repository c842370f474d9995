"""Caches of text embeddings that the workers of a farm share, in Redis or in the clip store.

A cache that does not answer, or is full, costs an encoding and nothing else. Embeddings are kept as safetensors, whose
reader runs no code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import redis
import structlog

from reelmill_common.errors import ClipExists, NotFound, StoreError
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.primary import open_client
from reelmill_common.ledger.server import address_of
from reelmill_common.services.background import ErrorLog
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store
from reelmill_worker.pipeline.text import SharedEmbeddingCache

log = structlog.get_logger(__name__)

FOLDER = "embeddings"
"""Prefix of the keys of a store's embeddings. No batch lists them, since they have no manifest."""
KEEP_S = 30 * 86_400
"""Seconds after which an unused embedding is forgotten."""
TIMEOUT_S = 2.0
"""Longest wait for Redis: encoding again takes a tenth of a second."""
MOST_BYTES_S = 50_000_000
"""Bytes a second that all workers together may take from Redis, which the ledger needs: 40 % of a gigabit link."""
WATCHED_S = 10.0
"""Seconds over which a worker measures what it takes."""
REST_S = 300.0
"""Seconds for which the cache is left alone after that was too much."""
MOST_BYTES = 16_000_000
"""Largest embedding that is read: twice that of 512 tokens with 4,096 channels in float32."""


def open_embedding_cache(settings: Settings) -> SharedEmbeddingCache | None:
    """Return the cache that `settings.embedding_cache` names, or None for `off`."""
    if settings.embedding_cache == "redis":
        return RedisEmbeddingCache.of(settings)
    if settings.embedding_cache == "store":
        return StoreEmbeddingCache(store=open_store(settings))
    return None


@dataclass(slots=True)
class Traffic:
    """What a worker moves from and to the cache."""

    _since: float = field(default_factory=time.monotonic)
    _bytes: int = 0
    _rests_until: float = 0.0

    def rests(self) -> bool:
        """Whether the cache is left alone now."""
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Leave the cache alone for a while."""
        self._rests_until = time.monotonic() + REST_S

    def note(self, size_bytes: int) -> float | None:
        """Count some bytes; return bytes a second each `WATCHED_S` seconds, else None."""
        self._bytes += size_bytes
        span_s = time.monotonic() - self._since
        if span_s < WATCHED_S:
            return None
        rate = self._bytes / span_s
        self._since, self._bytes = time.monotonic(), 0
        return rate


@dataclass(slots=True, kw_only=True)
class RedisEmbeddingCache:
    """Embeddings beside the ledger, at most `room_bytes` of them: a cache must not fill Redis.

    At the real size an embedding takes 8 kB a token in bfloat16, so 256 MB hold about 400 prompts of 80 tokens.
    Where the farm's workers together would take more than `MOST_BYTES_S` of them, they go without for a while.
    """

    client: redis.Redis
    prefix: str
    beats: str
    room_bytes: int
    _traffic: Traffic = field(default_factory=Traffic)
    _put: Any = None
    _errors: ErrorLog = field(default_factory=ErrorLog)

    @classmethod
    def of(cls, settings: Settings) -> RedisEmbeddingCache:
        """Make the cache of a farm; nothing is connected yet."""
        client = open_client(address_of(settings), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        keys = Keys(settings.farm)
        prefix = f"{keys.prefix}embedding:"
        script = files("reelmill_worker.child").joinpath("embedding_put.lua").read_text(encoding="utf-8")
        put = client.register_script(script)
        room_bytes = settings.embedding_cache_mb * 1_000_000
        return cls(client=client, prefix=prefix, beats=keys.beats, room_bytes=room_bytes, _put=put)

    def get(self, name: str) -> bytes | None:
        """Return an embedding and remember that it was used."""
        if self._traffic.rests():
            return None
        try:
            if int(self.client.strlen(self.prefix + name)) > MOST_BYTES:  # asked first: a value may be 512 MB long
                return None
            content: bytes | None = self.client.get(self.prefix + name)  # type: ignore[assignment]  # decode_responses is off
            if content is not None:
                self.client.zadd(self.prefix + "recent", {name: _now_us()}, xx=True)
                self._note(len(content))
        except redis.RedisError as err:
            self._log_once(err)
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep an embedding."""
        if self._traffic.rests():
            return
        try:
            self._put(keys=[self.prefix], args=[name, content, self.room_bytes, KEEP_S, _now_us()])
            self._note(len(content))
        except redis.RedisError as err:
            self._log_once(err)

    def _note(self, size_bytes: int) -> None:
        """Count what was moved, and now and then compare it with what this worker's share would be."""
        bytes_s = self._traffic.note(size_bytes)
        if bytes_s is None:
            return
        workers = int(self.client.zcard(self.beats))
        if bytes_s * workers > MOST_BYTES_S:
            self._traffic.rest()
            log.warning(
                "embedding_cache.refused",
                bytes_s=round(bytes_s),
                workers=workers,
                most_bytes_s=MOST_BYTES_S,
                rest_s=REST_S,
                action="set REELMILL_EMBEDDING_CACHE=store or off",
            )

    def _log_once(self, err: redis.RedisError) -> None:
        kind = type(err).__name__
        if self._errors.is_new(kind):
            log.warning("embedding_cache.failed", error=f"{kind}: {err}"[:200])


@dataclass(slots=True, kw_only=True)
class StoreEmbeddingCache:
    """Embeddings beside the clips. A lifecycle rule of the bucket removes old ones, or its owner does."""

    store: ClipStore
    _errors: ErrorLog = field(default_factory=ErrorLog)

    def get(self, name: str) -> bytes | None:
        """Return an embedding."""
        try:
            return self.store.get(_key(name), most_bytes=MOST_BYTES)
        except NotFound:
            return None
        except StoreError as err:
            self._log_once(err)
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep an embedding, unless it is there already."""
        try:
            self.store.put(_key(name), content, content_type="application/octet-stream")
        except ClipExists:
            return
        except StoreError as err:
            self._log_once(err)

    def _log_once(self, err: StoreError) -> None:
        if self._errors.is_new(err.code):
            log.warning("embedding_cache.failed", error=str(err)[:200])


def _key(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/{name}.safetensors"


def _now_us() -> int:
    return int(time.time() * 1_000_000)
