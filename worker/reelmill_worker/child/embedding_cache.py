"""Shelves of text embeddings that the workers of a farm share, in Redis or in the clip store.

Embeddings are a cache: a shelf that does not answer, or is full, costs an encoding and nothing else. They are kept as
safetensors, whose reader runs no code.
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
from reelmill_common.ledger.server import address_of
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store
from reelmill_worker.pipeline.text import Shelf

log = structlog.get_logger(__name__)

FOLDER = "embeddings"
"""Begins the keys of a store's embeddings. No batch has a name that lists them: they have no manifest."""
KEEP_S = 30 * 86_400
"""Seconds after which an unused embedding is forgotten."""
TIMEOUT_S = 2.0
"""Patience with Redis: encoding again takes a tenth of a second."""
MOST_BYTES = 16_000_000
"""Largest embedding that is read: 512 tokens of 4,096 channels in float32 are half of it."""


def open_shelf(settings: Settings) -> Shelf | None:
    """Return the shelf that `settings.embedding_cache` names, or None for `off`."""
    if settings.embedding_cache == "redis":
        return RedisShelf.of(settings)
    if settings.embedding_cache == "store":
        return StoreShelf(store=open_store(settings))
    return None


@dataclass(slots=True, kw_only=True)
class RedisShelf:
    """Embeddings beside the ledger, never more than so many bytes: Redis must not be full because of a cache.

    At the real size an embedding takes 8 kB a token in bfloat16, so 256 MB hold about 400 prompts of 80 tokens.
    """

    client: redis.Redis
    prefix: str
    room_bytes: int
    _put: Any = None
    _complaint: str = ""

    @classmethod
    def of(cls, settings: Settings) -> RedisShelf:
        """Make the shelf of a farm; nothing is connected yet."""
        client = redis.Redis(
            **address_of(settings).client_options(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        prefix = f"{Keys(settings.farm).prefix}embedding:"
        script = files("reelmill_worker.child").joinpath("embedding_put.lua").read_text(encoding="utf-8")
        put = client.register_script(script)
        return cls(client=client, prefix=prefix, room_bytes=settings.embedding_cache_mb * 1_000_000, _put=put)

    def get(self, name: str) -> bytes | None:
        """Return an embedding and remember that it was used."""
        try:
            if int(self.client.strlen(self.prefix + name)) > MOST_BYTES:  # asked first: a value may have 512 MB
                return None
            content: bytes | None = self.client.get(self.prefix + name)  # type: ignore[assignment]  # decode_responses is off
            if content is not None:
                self.client.zadd(self.prefix + "recent", {name: _now_us()}, xx=True)
        except redis.RedisError as err:
            self._complain(err)
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep an embedding."""
        try:
            self._put(keys=[self.prefix], args=[name, content, self.room_bytes, KEEP_S, _now_us()])
        except redis.RedisError as err:
            self._complain(err)

    def _complain(self, err: redis.RedisError) -> None:
        text = type(err).__name__
        if text != self._complaint:
            log.warning("embedding.shelf_failed", error=f"{text}: {err}"[:200])
        self._complaint = text


@dataclass(slots=True, kw_only=True)
class StoreShelf:
    """Embeddings beside the clips. What is old is removed by a lifecycle rule of the bucket, or by hand."""

    store: ClipStore
    _complaint: str = field(default="")

    def get(self, name: str) -> bytes | None:
        """Return an embedding."""
        try:
            return self.store.get(_key(name), most_bytes=MOST_BYTES)
        except NotFound:
            return None
        except StoreError as err:
            self._complain(err)
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep an embedding; one that is there already is as good."""
        try:
            self.store.put(_key(name), content, content_type="application/octet-stream")
        except ClipExists:
            return
        except StoreError as err:
            self._complain(err)

    def _complain(self, err: StoreError) -> None:
        if err.code != self._complaint:
            log.warning("embedding.shelf_failed", error=str(err)[:200])
        self._complaint = err.code


def _key(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/{name}.safetensors"


def _now_us() -> int:
    return int(time.time() * 1_000_000)
