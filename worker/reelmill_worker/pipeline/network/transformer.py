"""The Wan transformer's forward pass: what depends on the text, the step or the size is computed once and kept.

It takes diffusers' weights and computes what diffusers' `WanTransformer3DModel` computes, with fused projections and
fused operations between the linears. One block function serves all layers, so it is compiled once.

Letters: l tokens in (t, h, w) order, s text tokens, k channels of a token, n heads, d channels of a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_worker.kernels.fusions import PLAIN, TRITON, Fusions
from reelmill_worker.kernels.operands import HEAD_SIZES
from reelmill_worker.pipeline.checkpoint.transformer_config import TransformerConfig
from reelmill_worker.pipeline.network.attention import INNER, attention, projected_attention
from reelmill_worker.pipeline.network.linears import Linear, load_linear, tensor_of
from reelmill_worker.pipeline.network.plan import RenderPlan
from reelmill_worker.pipeline.network.rope import rope_tables

KEPT_STEPS = 16
"""Timesteps whose modulation is kept: both samplers have 3 each, and a table of 30 layers takes 1.1 MB."""
KEPT_SIZES = 4
"""Clip sizes whose rotation tables are kept: 17 MB each at 832x480x81."""


@dataclass(frozen=True, slots=True, eq=False)
class TextContext:
    """One prompt's keys and values of cross-attention, for all layers: the same in every step.

    Attributes:
        keys: (layers, s, n, d).
        values: (layers, s, n, d).
    """

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The weights of one layer."""

    qkv: Linear
    out: Linear
    qk_norms: Tensor
    cross_norm_weight: Tensor
    cross_norm_bias: Tensor
    cross_q: Linear
    cross_out: Linear
    cross_q_norm: Tensor
    up: Linear
    down: Linear
    modulation: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class CrossKeysValues:
    """What makes the keys and values of cross-attention out of a text, for all layers at once.

    No layer's depend on the layer before. One by one they are some 150 launches of kernels that run for microseconds: 8
    ms, or 14 beside a worker's other threads, where all at once take 2 and 3 (docs/lab-notes.md).

    Attributes:
        project: To the keys of all layers, side by side, and then to the values of all: (s, k) to (s, 2 layers k).
        norms: (layers, k) float32, of the keys.
    """

    project: Linear
    norms: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class OuterWeights:
    """The weights before and after the layers, in the plan's dtype unless said otherwise."""

    patch: tuple[Tensor, Tensor]
    text_in: tuple[Tensor, Tensor]
    text_out: tuple[Tensor, Tensor]
    time_in: tuple[Tensor, Tensor]
    time_out: tuple[Tensor, Tensor]
    time_projection: tuple[Tensor, Tensor]
    head: tuple[Tensor, Tensor]
    head_modulation: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class StepTables:
    """One timestep's modulation, float32.

    Attributes:
        blocks: (layers, 6, k): shift, 1 + scale and gate of self-attention, then of the feed-forward part.
        head: (2, k): shift and 1 + scale of the last norm.
    """

    blocks: Tensor
    head: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOptions:
    """How blocks compute: the same for all layers and steps of a loaded model.

    Attributes:
        fusions: Plain or on the GPU.
        heads: n.
        eps: The epsilon of all norms.
        kernel: The kernel of self-attention.
        projected: Whether that kernel takes the projection as it is.
        cross_kernel: The kernel of cross-attention.
    """

    fusions: Fusions
    heads: int
    eps: float
    kernel: str
    projected: bool
    cross_kernel: str


class WanTransformer:
    """A loaded transformer: its weights, and the tables that outlive a step."""

    def __init__(
        self,
        config: TransformerConfig,
        blocks: list[Block],
        cross: CrossKeysValues,
        ends: OuterWeights,
        plan: RenderPlan,
    ) -> None:
        """Take loaded weights; `load` makes them from a file."""
        self.config = config
        self._plan = plan
        self._blocks = blocks
        self._cross = cross
        self._ends = ends
        self._ones = torch.ones(config.dim, device=plan.device)
        self._steps: dict[float, StepTables] = {}
        self._ropes: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        self._way = BlockOptions(
            fusions=TRITON if plan.fused else PLAIN,
            heads=config.num_attention_heads,
            eps=config.eps,
            kernel=plan.attention,
            projected=plan.projected and plan.attention in INNER and config.attention_head_dim in HEAD_SIZES,
            cross_kernel=plan.cross_attention,
        )
        run = partial(run_block, way=self._way)
        # One graph: the layers differ only in the tensors that come in.
        self._run: Callable[..., tuple[Tensor, Tensor]] = (
            torch.compile(run, fullgraph=True, dynamic=False) if plan.compile else run
        )

    @classmethod
    def load(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, plan: RenderPlan) -> WanTransformer:
        """Load diffusers' weights, quantizing on the way what the plan wants quantized and the file has not.

        Args:
            config: The model's config.json.
            tensors: By diffusers' names; read one at a time, so a lazy mapping never holds two copies.
            plan: Device and precisions.

        Raises:
            InvalidModel: A tensor or a size is missing or of the wrong kind.
        """
        sizes = TransformerConfig.read(config)
        names = [f"blocks.{layer}" for layer in range(sizes.num_layers)]
        blocks = [_load_block(tensors, name, plan) for name in names]
        return cls(sizes, blocks, _load_cross(tensors, names, plan), _load_ends(tensors, plan), plan)

    @torch.inference_mode()
    def prepare_text(self, embedding: Tensor) -> TextContext:
        """Compute what the layers attend to in a prompt.

        Args:
            embedding: (1, s, text_dim), zero-padded; its padding is attended to, as the model was trained.
        """
        ends, cross, fusions = self._ends, self._cross, self._way.fusions
        x = embedding[0].to(self._plan.device, self._plan.torch_dtype)
        x = F.linear(F.gelu(F.linear(x, *ends.text_in), approximate="tanh"), *ends.text_out)  # (s, k)
        both = cross.project(*fusions.quantize_rows(x, cross.project.target))  # (s, 2 layers k)
        keys = fusions.rms_norm(both, cross.norms, self.config.eps)  # (layers, s, k)
        values = both[:, cross.norms.numel() :].reshape(-1, *cross.norms.shape).transpose(0, 1).contiguous()
        heads = self.config.num_attention_heads
        return TextContext(_split(keys, heads), _split(values, heads))

    @torch.inference_mode()
    def velocity(self, latents: Tensor, timestep: float, text: TextContext) -> Tensor:
        """Predict noise minus clean latents.

        Args:
            latents: (1, c, t, h, w) on the plan's device.
            timestep: 0 to 1000. A Python float: reading a CUDA scalar would sync.
            text: What `prepare_text` returned.

        Returns:
            (1, c, t, h, w) in the plan's dtype.
        """
        grid = self._grid(latents)
        rope = self._rope(grid)
        tables = self._step(timestep)
        x = F.linear(self._patches(latents, grid), *self._ends.patch)  # (l, k)
        # Each block adds what the block before it left pending; before the first block, that is nothing.
        # (Not x itself: a compiled block would take "two inputs are one" for a case of its own.)
        pending, gate = torch.zeros_like(x), torch.zeros_like(self._ones)
        for layer, block in enumerate(self._blocks):
            mod = tables.blocks[layer]
            x, pending = self._run(x, pending, gate, mod, block, rope, (text.keys[layer], text.values[layer]))
            gate = mod[5]
        shift, scale = tables.head
        _, x, _ = self._way.fusions.residual_norm(x, pending, gate, scale, shift, self.config.eps, "none")
        return self._unpatch(F.linear(x, *self._ends.head), grid)

    def _grid(self, latents: Tensor) -> tuple[int, int, int]:
        _, channels, *sizes = latents.shape
        patch = self.config.patch_size
        if channels != self.config.in_channels or any(size % step for size, step in zip(sizes, patch, strict=True)):
            raise ValueError(
                f"latents of shape {tuple(latents.shape)} do not fit: wanted {self.config.in_channels} channels and "
                f"(t, h, w) in multiples of {patch}"
            )
        t, h, w = (size // step for size, step in zip(sizes, patch, strict=True))
        return t, h, w

    def _patches(self, latents: Tensor, grid: tuple[int, int, int]) -> Tensor:
        (t, h, w), (pt, ph, pw), c = grid, self.config.patch_size, self.config.in_channels
        x = latents.to(self._plan.torch_dtype).reshape(c, t, pt, h, ph, w, pw)
        return x.permute(1, 3, 5, 0, 2, 4, 6).reshape(t * h * w, c * pt * ph * pw)

    def _unpatch(self, x: Tensor, grid: tuple[int, int, int]) -> Tensor:
        (t, h, w), (pt, ph, pw), c = grid, self.config.patch_size, self.config.out_channels
        x = x.reshape(t, h, w, pt, ph, pw, c).permute(6, 0, 3, 1, 4, 2, 5)  # (c, t, pt, h, ph, w, pw)
        return x.reshape(1, c, t * pt, h * ph, w * pw)

    def _rope(self, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        if grid not in self._ropes:
            _make_room(self._ropes, KEPT_SIZES)
            self._ropes[grid] = rope_tables(grid, self.config.attention_head_dim, self._plan.device)
        return self._ropes[grid]

    def _step(self, timestep: float) -> StepTables:
        if timestep not in self._steps:
            _make_room(self._steps, KEPT_STEPS)
            self._steps[timestep] = self._make_step(timestep)
        return self._steps[timestep]

    def _make_step(self, timestep: float) -> StepTables:
        ends, dtype = self._ends, self._plan.torch_dtype
        wave = timestep_wave(timestep, self.config.freq_dim).to(self._plan.device)
        # float32 up to here and dtype from here, as diffusers keeps them.
        embedded = F.linear(F.silu(F.linear(wave, *ends.time_in)), *ends.time_out).to(dtype)  # (k,)
        shared = F.linear(F.silu(embedded), *ends.time_projection).view(6, -1).float()
        blocks = torch.stack([block.modulation + shared for block in self._blocks])  # (layers, 6, k)
        head = ends.head_modulation + embedded.float()
        blocks[:, [1, 4]] += 1
        head[1] += 1
        return StepTables(blocks, head)


def run_block(
    x: Tensor,
    pending: Tensor,
    gate: Tensor,
    mod: Tensor,
    block: Block,
    rope: tuple[Tensor, Tensor],
    text: tuple[Tensor, Tensor],
    *,
    way: BlockOptions,
) -> tuple[Tensor, Tensor]:
    """Run one layer and return (x, pending): the feed-forward part's output is not yet added to x.

    The addition waits for the next layer's first norm, which reads x anyway: one pass over the tokens less.

    Args:
        x: (l, k), the residual stream.
        pending: (l, k), what the layer before did not add yet.
        gate: (k,) float32, its gate.
        mod: (6, k) float32, this layer's rows of `StepTables.blocks`.
        block: This layer's weights.
        rope: Cosine and sine, (l, d / 2) float32 each.
        text: Keys and values of this layer's cross-attention, (s, n, d) each.
        way: What is the same in all layers and steps.
    """
    fusions, eps, heads = way.fusions, way.eps, way.heads
    x, values, scale = fusions.residual_norm(x, pending, gate, mod[1], mod[0], eps, block.qkv.target)
    qkv = block.qkv(values, scale)  # (l, 3 k)
    if way.projected:
        y = projected_attention(qkv, block.qk_norms, *rope, eps, way.kernel)
    else:
        q, k = fusions.qk_norm_rope(qkv, block.qk_norms, *rope, eps)
        v = qkv[:, 2 * q.shape[1] :]
        y = attention(_split(q, heads), _split(k, heads), _split(v, heads), way.kernel).flatten(1)
    y = block.out(*fusions.quantize_rows(y, block.out.target))

    x, values, scale = fusions.residual_norm(
        x, y, mod[2], block.cross_norm_weight, block.cross_norm_bias, eps, block.cross_q.target
    )
    q = fusions.rms_norm(block.cross_q(values, scale), block.cross_q_norm, eps)[0]
    y = attention(_split(q, heads), *text, way.cross_kernel).flatten(1)
    y = block.cross_out(*fusions.quantize_rows(y, block.cross_out.target))

    ones = torch.ones_like(gate)
    x, values, scale = fusions.residual_norm(x, y, ones, mod[4], mod[3], eps, block.up.target)
    hidden = block.up(values, scale)  # (l, ffn)
    return x, block.down(*fusions.gelu_quantize(hidden, block.down.target))


def _split(x: Tensor, heads: int) -> Tensor:
    return x.view(*x.shape[:-1], heads, -1)  # (…, k) to (…, n, d)


def timestep_wave(timestep: float, channels: int) -> Tensor:
    """Return a timestep as cosines, then sines, of falling frequency: (channels,) float32.

    Source: diffusers 0.42, models/embeddings.py `get_timestep_embedding` with `flip_sin_to_cos`.
    """
    half = channels // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = timestep * frequencies
    return torch.cat([angles.cos(), angles.sin()])


def _make_room(kept: dict[Any, Any], limit: int) -> None:
    while len(kept) >= limit:
        del kept[next(iter(kept))]


def _wide(tensors: Mapping[str, Tensor], name: str, plan: RenderPlan) -> Tensor:
    return tensor_of(tensors, name).to(plan.device, torch.float32)


def _load_cross(tensors: Mapping[str, Tensor], blocks: Sequence[str], plan: RenderPlan) -> CrossKeysValues:
    project = load_linear(tensors, [f"{block}.attn2.{part}" for part in ("to_k", "to_v") for block in blocks], plan)
    norms = [_wide(tensors, f"{block}.attn2.norm_k.weight", plan) for block in blocks]
    return CrossKeysValues(project, torch.stack(norms))


def _load_block(tensors: Mapping[str, Tensor], name: str, plan: RenderPlan) -> Block:
    def linear(*names: str) -> Linear:
        return load_linear(tensors, [f"{name}.{part}" for part in names], plan)

    def wide(part: str) -> Tensor:
        return _wide(tensors, f"{name}.{part}", plan)

    return Block(
        qkv=linear("attn1.to_q", "attn1.to_k", "attn1.to_v"),
        out=linear("attn1.to_out.0"),
        qk_norms=torch.stack([wide("attn1.norm_q.weight"), wide("attn1.norm_k.weight")]),
        cross_norm_weight=wide("norm2.weight"),
        cross_norm_bias=wide("norm2.bias"),
        cross_q=linear("attn2.to_q"),
        cross_out=linear("attn2.to_out.0"),
        cross_q_norm=wide("attn2.norm_q.weight").unsqueeze(0),
        up=linear("ffn.net.0.proj"),
        down=linear("ffn.net.2"),
        modulation=wide("scale_shift_table")[0],
    )


def _load_ends(tensors: Mapping[str, Tensor], plan: RenderPlan) -> OuterWeights:
    def pair(name: str, dtype: torch.dtype = plan.torch_dtype) -> tuple[Tensor, Tensor]:
        weight = tensor_of(tensors, f"{name}.weight").to(plan.device, dtype)
        # A patch embedding is a convolution whose stride is its size: a linear over flattened patches.
        return weight.flatten(1), tensor_of(tensors, f"{name}.bias").to(plan.device, dtype)

    condition = "condition_embedder"
    return OuterWeights(
        patch=pair("patch_embedding"),
        text_in=pair(f"{condition}.text_embedder.linear_1"),
        text_out=pair(f"{condition}.text_embedder.linear_2"),
        time_in=pair(f"{condition}.time_embedder.linear_1", torch.float32),
        time_out=pair(f"{condition}.time_embedder.linear_2", torch.float32),
        time_projection=pair(f"{condition}.time_proj"),
        head=pair("proj_out"),
        head_modulation=tensor_of(tensors, "scale_shift_table").to(plan.device, torch.float32)[0],
    )
