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
from reelmill_common.ledger.connections import open_client
from reelmill_common.ledger.keys import Keys
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
MOST_BYTES = 16_000_000
"""Largest embedding that is read: twice that of 512 tokens with 4,096 channels in float32."""


def open_embedding_cache(settings: Settings) -> SharedEmbeddingCache | None:
    """Return the cache that `settings.embedding_cache` names, or None for `off`."""
    if settings.embedding_cache == "redis":
        return RedisEmbeddingCache.of(settings)
    if settings.embedding_cache == "store":
        return StoreEmbeddingCache(store=open_store(settings))
    return None


@dataclass(slots=True, kw_only=True)
class RedisEmbeddingCache:
    """Embeddings beside the ledger, at most `room_bytes` of them: a cache must not fill Redis.

    At the real size an embedding takes 8 kB a token in bfloat16, so 256 MB hold about 400 prompts of 80 tokens.
    """

    client: redis.Redis
    prefix: str
    room_bytes: int
    _put: Any = None
    _errors: ErrorLog = field(default_factory=ErrorLog)

    @classmethod
    def of(cls, settings: Settings) -> RedisEmbeddingCache:
        """Make the cache of a farm; nothing is connected yet."""
        client = open_client(address_of(settings), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        prefix = f"{Keys(settings.farm).prefix}embedding:"
        script = files("reelmill_worker.child").joinpath("embedding_put.lua").read_text(encoding="utf-8")
        put = client.register_script(script)
        return cls(client=client, prefix=prefix, room_bytes=settings.embedding_cache_mb * 1_000_000, _put=put)

    def get(self, name: str) -> bytes | None:
        """Return an embedding and remember that it was used."""
        try:
            if int(self.client.strlen(self.prefix + name)) > MOST_BYTES:  # asked first: a value may be 512 MB long
                return None
            content: bytes | None = self.client.get(self.prefix + name)  # type: ignore[assignment]  # decode_responses is off
            if content is not None:
                self.client.zadd(self.prefix + "recent", {name: _now_us()}, xx=True)
        except redis.RedisError as err:
            self._log_once(err)
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep an embedding."""
        try:
            self._put(keys=[self.prefix], args=[name, content, self.room_bytes, KEEP_S, _now_us()])
        except redis.RedisError as err:
            self._log_once(err)

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
