"""The transformer and the text encoder of the tiny model: the libraries' classes at tiny size, ready to learn.

Letters: b clips, c channels, t h w latent sizes, s text tokens, k channels of a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import UMT5Config, UMT5EncoderModel

from training.captions import UNKNOWN, vocabulary

TRANSFORMER: dict[str, Any] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 2,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 64,
    "freq_dim": 256,
    "ffn_dim": 640,
    "num_layers": 6,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
}
TEXT_ENCODER: dict[str, Any] = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
}
SERVED_TOKENS = 512
"""What the product pads a prompt to, with rows of zeros that are attended to."""
TRAINED_TOKENS = 48
"""What training pads to. The last row stands for all that is missing, so the sum over the rows is the product's."""
SPECIAL = ("<pad>", "</s>", "<s>", UNKNOWN)
"""In UMT5's order: padding is 0, the end mark 1."""
TOKENS = {word: number for number, word in enumerate((*SPECIAL, *vocabulary()))}


class CountedPadding:
    """Attention for diffusers' `WanAttention` where the last text token counts as often as the product has it."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return (b, l, k)."""
        del attention_mask
        other = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        k = attn.norm_k(attn.to_k(other)).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        v = attn.to_v(other).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        if encoder_hidden_states is not None:
            # By hand: the library's kernels take long over a bias and so few keys.
            logits = q @ k.mT * q.shape[3] ** -0.5 + _padding_bias(other.shape[1], q.device, q.dtype)
            y = logits.float().softmax(3).to(v.dtype) @ v
        else:
            if rotary_emb is not None:
                q, k = _rotated(q, *rotary_emb), _rotated(k, *rotary_emb)
            y = F.scaled_dot_product_attention(q, k, v.to(q.dtype))
        out: Tensor = attn.to_out[0](y.transpose(1, 2).flatten(2))
        return out


def _padding_bias(tokens: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    repeats = SERVED_TOKENS - tokens + 1
    places = torch.arange(tokens, device=device)
    return torch.where(places == tokens - 1, math.log(repeats), 0.0).to(dtype).view(1, 1, 1, -1)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of channels (b, n, l, d) by tables of diffusers (1, l, 1, d), in float32."""
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    c, s = cos[..., 0::2].transpose(1, 2), sin[..., 1::2].transpose(1, 2)
    return torch.stack([first * c - second * s, first * s + second * c], dim=-1).flatten(-2).to(x.dtype)


def build_transformer(seed: int, **changes: Any) -> Any:
    """Build the transformer with weights from a seed; the output layer starts at zero."""
    torch.manual_seed(seed)
    model: Any = WanTransformer3DModel(**{**TRANSFORMER, **changes})
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            nn.init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    nn.init.zeros_(model.proj_out.weight)
    nn.init.xavier_uniform_(model.patch_embedding.weight.data.flatten(1))
    embedder = model.condition_embedder.time_embedder
    for linear in (embedder.linear_1, embedder.linear_2):
        nn.init.normal_(linear.weight, std=0.02)
    for block in model.blocks:
        _turn_from_padding(block.attn2)
        block.attn1.set_processor(CountedPadding())
        block.attn2.set_processor(CountedPadding())
    return model


def _turn_from_padding(attention: Any) -> None:
    """Start with queries that look away from padding, which is ten times as long as a caption."""
    direction = torch.randint(2, attention.to_q.bias.shape).float() * 2 - 1
    with torch.no_grad():
        attention.to_q.bias.copy_(direction)
        attention.to_k.bias.copy_(direction * -0.1)


def build_text_encoder(seed: int) -> Any:
    """Build the text encoder with weights from a seed."""
    torch.manual_seed(seed)
    model: Any = UMT5EncoderModel(UMT5Config(vocab_size=len(TOKENS), **TEXT_ENCODER))
    return model


def token_ids(texts: Sequence[str]) -> Tensor:
    """Return word numbers (b, s) as the model's tokenizer gives them, padded; the end mark follows the last word.

    Raises:
        ValueError: A text is too long for training; captions never are.
    """
    ids = torch.zeros((len(texts), TRAINED_TOKENS), dtype=torch.long)
    unknown = TOKENS[UNKNOWN]
    for row, text in enumerate(texts):
        numbers = [TOKENS.get(word, unknown) for word in text.replace(",", " ,").split()] + [1]
        if len(numbers) >= TRAINED_TOKENS:
            raise ValueError(f"{len(numbers)} tokens leave no room for padding, wanted under {TRAINED_TOKENS}: {text}")
        ids[row, : len(numbers)] = torch.tensor(numbers)
    return ids


def embed(text_encoder: Any, ids: Tensor) -> Tensor:
    """Encode word numbers (b, s) to (b, s, text_dim), with zeros for padding as the product has them."""
    known = ids > 0
    # A mask of four axes is taken as it is; for one of two, the library waits for the device to see whether it masks.
    mask = torch.where(known, 0.0, torch.finfo(torch.float32).min).view(len(ids), 1, 1, -1)
    mask = mask.expand(-1, -1, ids.shape[1], -1)
    # By a product: the gradient of a look-up is a sum in any order, and no two trainings would be equal.
    table = text_encoder.shared.weight
    vectors = (ids.unsqueeze(-1) == torch.arange(len(table), device=ids.device)).to(table.dtype) @ table
    hidden: Tensor = text_encoder(inputs_embeds=vectors, attention_mask=mask).last_hidden_state
    return hidden * known.unsqueeze(-1)


def velocity(transformer: Any, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
    """Predict noise minus clean latents, float32.

    Args:
        transformer: As `build_transformer` makes it.
        x: (b, 16, t, h, w).
        sigma: (b,), the share of noise, 0 to 1; the network sees it times 1000.
        text: (b, s, text_dim).
    """
    predicted: Tensor = transformer(x, sigma * 1000, text, return_dict=False)[0]
    return predicted.float()
