"""From prompt to embedding: tokenizer, UMT5 encoder, and caches, since the embedding depends on the prompt alone."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from reelmill_common.profiles import MAX_TOKENS
from reelmill_common.text.tokens import TokenCounter
from reelmill_worker.pipeline.network.text_graphs import TextGraphs

log = structlog.get_logger(__name__)

CACHE_ENTRIES = 64
"""Embeddings kept: 4 MiB each at the real size in bfloat16, so 256 MiB of GPU memory at most."""
_ROWS = "rows"


class SharedEmbeddingCache(Protocol):
    """Where workers leave embeddings for each other. Whatever goes wrong there, the embedding is made again."""

    def get(self, name: str) -> bytes | None:
        """Return the content of a name, or None."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Store content under a name."""
        ...


@dataclass(slots=True, kw_only=True)
class TextEncoder:
    """Encodes prompts exactly as diffusers' `WanPipeline.encode_prompt(max_sequence_length=512)` does.

    The encoder runs on the real tokens only (`graphs` pads them a little) and the rest is zeros. That equals the
    reference, which runs on 512 padded ones under a mask and then cuts the padding off, and costs a fifth at 100
    tokens. The transformer attends to the zero rows too, so they may not be dropped.

    Safe to use from two threads: one that renders, and one that encodes ahead.

    Attributes:
        tokens: The tokenizer, with its limit.
        graphs: Holds the model, on the device where it shall run, and runs it.
        device: Where the embedding is wanted; may differ from the model's.
        dtype: The type of the embedding.
        identity: Names weights, precision and device class: only equal ones share embeddings, since others differ in
            the last bits, and with them every clip.
        shared_cache: Shared with other workers, if with any.
        made: Embeddings that were computed here, and not found.
    """

    tokens: TokenCounter
    graphs: TextGraphs
    device: torch.device
    dtype: torch.dtype
    identity: str = ""
    shared_cache: SharedEmbeddingCache | None = None
    made: int = 0
    _cache: OrderedDict[str, Tensor] = field(default_factory=OrderedDict[str, Tensor])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _side: torch.cuda.Stream | None = None

    def encode(self, prompt: str) -> Tensor:
        """Return the embedding of a cleaned prompt: (1, 512, d_model). Do not write to it: it is cached.

        Raises:
            PromptTooLong: The prompt has more than 512 tokens; the message says where it would be cut.
        """
        with self._lock:
            embedding = self._found_or_made(prompt)
        if embedding.is_cuda:
            # It may have been made on the other stream: its memory must not be given away while this one reads it.
            embedding.record_stream(torch.cuda.current_stream())
        return embedding

    def encode_ahead(self, prompt: str) -> None:
        """Have a prompt's embedding at hand later, without holding up what the GPU does now.

        Raises:
            PromptTooLong: As `encode`.
        """
        if self.device.type != "cuda":
            self.encode(prompt)
            return
        if self._side is None:
            self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types for it
        with torch.cuda.stream(self._side), self._lock:
            self._found_or_made(prompt)
            self._side.synchronize()  # a reader of the cache finds it finished

    def _found_or_made(self, prompt: str) -> Tensor:
        if prompt in self._cache:
            self._cache.move_to_end(prompt)
            return self._cache[prompt]
        ids = self.tokens.ids(prompt)
        rows = self._from_shared(prompt, len(ids))
        if rows is None:
            rows = self._encode(ids)
            self.made += 1
            self._to_shared(prompt, rows)
        embedding = nn.functional.pad(rows, (0, 0, 0, MAX_TOKENS - len(ids)))  # (1, 512, d)
        self._cache[prompt] = embedding
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return embedding

    @torch.inference_mode()
    def _encode(self, ids: list[int]) -> Tensor:
        return self.graphs.hidden(ids).to(self.device, self.dtype)  # (1, n, d)

    def _from_shared(self, prompt: str, length: int) -> Tensor | None:
        content = None if self.shared_cache is None else self.shared_cache.get(self._name(prompt))
        if content is None:
            return None
        try:
            rows = load(content)[_ROWS]
        except (SafetensorError, KeyError, ValueError) as err:
            log.warning("embedding.unreadable", error=f"{type(err).__name__}: {err}"[:200])
            return None
        wanted = (1, length, self._width())
        if tuple(rows.shape) != wanted or rows.dtype != self.dtype or not bool(rows.isfinite().all()):
            log.warning("embedding.misfit", got=[*rows.shape], wanted=[*wanted], dtype=str(rows.dtype))
            return None
        return rows.to(self.device)

    def _to_shared(self, prompt: str, rows: Tensor) -> None:
        if self.shared_cache is not None:
            self.shared_cache.put(self._name(prompt), save({_ROWS: rows.cpu().contiguous()}))

    def _width(self) -> int:
        return int(self.graphs.model.get_parameter("shared.weight").shape[1])

    def _name(self, prompt: str) -> str:
        return hashlib.sha256(f"{self.identity}\n{prompt}".encode()).hexdigest()
