"""From prompt to embedding: tokenizer, UMT5 encoder, and a cache, since the embedding depends on the prompt alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from reelmill_common.profiles import MAX_TOKENS
from reelmill_common.tokens import TokenCounter

CACHE_ENTRIES = 64
"""Embeddings kept: 4 MiB each at the real size in bfloat16, so 256 MiB of GPU memory at most."""


@dataclass(slots=True, kw_only=True)
class TextEncoder:
    """Encodes prompts exactly as diffusers' `WanPipeline.encode_prompt(max_sequence_length=512)` does.

    The encoder runs on the real tokens only and the rest is zeros. That equals the reference, which runs on 512 padded
    ones under a mask and then cuts the padding off, and costs a fifth at 100 tokens. The transformer attends to the
    zero rows too, so they may not be dropped.

    Attributes:
        tokens: The tokenizer, with its limit.
        model: `transformers.UMT5EncoderModel` on the device where it shall run.
        device: Where the embedding is wanted; may differ from the model's.
        dtype: Of the embedding.
    """

    tokens: TokenCounter
    model: nn.Module
    device: torch.device
    dtype: torch.dtype
    _cache: OrderedDict[str, Tensor] = field(default_factory=OrderedDict[str, Tensor])

    def encode(self, prompt: str) -> Tensor:
        """Return the embedding of a cleaned prompt: (1, 512, d_model). Do not write to it: it is cached.

        Raises:
            PromptTooLong: The prompt has more than 512 tokens; the message says where it would be cut.
        """
        if prompt in self._cache:
            self._cache.move_to_end(prompt)
            return self._cache[prompt]
        embedding = self._encode(self.tokens.ids(prompt))
        self._cache[prompt] = embedding
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return embedding

    @torch.inference_mode()
    def _encode(self, ids: list[int]) -> Tensor:
        place = next(self.model.parameters()).device
        batch = torch.tensor([ids], device=place)
        hidden: Tensor = self.model(batch, torch.ones_like(batch)).last_hidden_state  # (1, n, d)
        hidden = hidden.to(self.device, self.dtype)
        return nn.functional.pad(hidden, (0, 0, 0, MAX_TOKENS - len(ids)))  # (1, 512, d)
