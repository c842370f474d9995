"""Attention without mask or dropout as one operation over several kernels, with a self-test of each.

Letters: l query tokens, s key tokens, n heads, d channels of a head. All tensors are (l, n, d): one clip at a time.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_common.errors import WorkerUnfit
from reelmill_worker.kernels.operands import attention_operands
from reelmill_worker.kernels.rotary import qk_norm_rope_reference

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]

LEAST_COSINE = 0.995
"""The cosine to float32 that a kernel must reach in the self-test. Correct 8-bit kernels reach 0.998 and more."""
TEST_SHAPE = (4096, 12, 128)
"""Tokens, heads and channels of the self-test: the model's heads, enough tokens for every block of a kernel."""


def _heads_first(x: Tensor) -> Tensor:
    return x.transpose(0, 1).unsqueeze(0)  # (1, n, l, d)


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = F.scaled_dot_product_attention(_heads_first(q), _heads_first(k), _heads_first(v))
    return out.squeeze(0).transpose(0, 1)  # (l, n, d)


# The two by name, since `torch.nn.attention.sdpa_kernel` chooses for the whole process: while one thread is inside it,
# the text encoder on another finds "no available kernel" for its masked attention (seen on an H100). Equal bits.
def _sdpa_flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    flash = torch.ops.aten._scaled_dot_product_flash_attention  # noqa: SLF001 - see above
    out: Tensor = flash(*map(_heads_first, (q, k, v)), 0.0, False, False)[0]  # noqa: FBT003 - the operator's form
    return out.squeeze(0).transpose(0, 1)


def _sdpa_cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    cudnn = torch.ops.aten._scaled_dot_product_cudnn_attention  # noqa: SLF001 - see above
    out: Tensor = cudnn(*map(_heads_first, (q, k, v)), None, False, 0.0, False, False)[0]  # noqa: FBT003 - likewise
    return out.squeeze(0).transpose(0, 1)


def _sage1(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    sage = importlib.import_module("sageattention")
    # 1.0.6 takes the mean off the keys in place, and (1, l, n, d) is its NHD layout.
    out: Tensor = sage.sageattn(q.unsqueeze(0), k.clone().unsqueeze(0), v.unsqueeze(0), tensor_layout="NHD")
    return out.squeeze(0)


def _sage2(function: str, options: dict[str, str], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    sage = importlib.import_module("sageattention")
    call: Callable[..., Tensor] = getattr(sage, function)
    return call(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), tensor_layout="NHD", **options).squeeze(0)


def _sage2_kernel(function: str, **options: str) -> Kernel:
    return partial(_sage2, f"sageattn_qk_int8_pv_{function}", options)


KERNELS: dict[str, Kernel] = {
    "sdpa": _sdpa,
    "sdpa-flash": _sdpa_flash,
    "sdpa-cudnn": _sdpa_cudnn,
    "sage1": _sage1,
    "sage2-triton": _sage2_kernel("fp16_triton"),
    "sage2-fp16": _sage2_kernel("fp16_cuda", pv_accum_dtype="fp32"),
    "sage2-fp16-mixed": _sage2_kernel("fp16_cuda", pv_accum_dtype="fp16+fp32"),
    "sage2-fp8": _sage2_kernel("fp8_cuda", pv_accum_dtype="fp32+fp16"),
    "sage2-fp8-warp": _sage2_kernel("fp8_cuda", pv_accum_dtype="fp32+fp16", qk_quant_gran="per_warp"),
    "sage2-fp8-sm90": _sage2_kernel("fp8_cuda_sm90", pv_accum_dtype="fp32+fp32"),
}
"""Every kernel by the name that plans use. `sage2` is SageAttention 2.1 or newer, `sage1` its release 1.0.6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawKernel:
    """A kernel of SageAttention 2 without its wrapper.

    Attributes:
        module: The module of the package.
        function: Takes queries, keys, values, an output, and the scales.
        grain: How `kernels.operands` makes what it takes.
    """

    module: str
    function: str
    grain: str


INNER: dict[str, RawKernel] = {
    "sage2-fp16": RawKernel(module="sm80_compile", function="qk_int8_sv_f16_accum_f32_attn", grain="sm80"),
    "sage2-fp16-mixed": RawKernel(
        module="sm80_compile", function="qk_int8_sv_f16_accum_f16_attn_inst_buf", grain="sm80-mixed"
    ),
    "sage2-fp8": RawKernel(
        module="sm89_compile", function="qk_int8_sv_f8_accum_f16_fuse_v_scale_attn_inst_buf", grain="sm89"
    ),
    "sage2-fp8-sm90": RawKernel(
        module="sm90_compile", function="qk_int8_sv_f8_accum_f32_fuse_v_scale_attn_inst_buf", grain="sm90"
    ),
}
"""What the wrappers in `KERNELS` call, by the same names. Source: SageAttention d1a57a5, core.py."""
TOKENS_FIRST, NOT_CAUSAL, SCALES_BY_THREAD, NO_SUMS = 0, 0, 3, 0


def multiply(operands: Sequence[Tensor], kernel: str, dtype: torch.dtype) -> Tensor:
    """Return the attention of what `attention_operands` made for a kernel of `INNER`, (l, n, d) of `dtype`."""
    q, q_scale, k, k_scale, v, v_scale = operands
    out = torch.empty(q.shape, dtype=dtype, device=q.device)
    floats = not v_scale.numel()
    tensors = [x.unsqueeze(0) for x in (q, k, v.to(torch.float16) if floats else v, out)]
    scales = [x.unsqueeze(0) for x in ((q_scale, k_scale) if floats else (q_scale, k_scale, v_scale))]
    inner = INNER[kernel]
    call = getattr(importlib.import_module(f"sageattention.{inner.module}"), inner.function)
    call(*tensors, *scales, TOKENS_FIRST, NOT_CAUSAL, SCALES_BY_THREAD, q.shape[2] ** -0.5, NO_SUMS)
    return out


@torch.library.custom_op("reelmill::projected_attention", mutates_args=())
def projected_attention(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, kernel: str) -> Tensor:
    """Return self-attention over a fused projection, (l, k): codes by our kernels, products by SageAttention's.

    The same as `qk_norm_rope` and `attention`, but queries and keys are never written as floats.

    Args:
        qkv: (l, 3 k).
        weights: (2, k) float32, of the norms of queries and keys.
        cosine: (l, d / 2) float32; d is one of `operands.HEAD_SIZES`.
        sine: (l, d / 2) float32.
        eps: Added to the mean square.
        kernel: A name of `INNER`.
    """
    operands = attention_operands(qkv, weights, cosine, sine, eps, INNER[kernel].grain)
    return multiply(operands, kernel, qkv.dtype).flatten(1)


@projected_attention.register_fake
def _(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, kernel: str) -> Tensor:  # noqa: ARG001 - the signature of the operation
    return qkv.new_empty((qkv.shape[0], weights.shape[1]))


@torch.library.custom_op("reelmill::attention", mutates_args=())
def attention(q: Tensor, k: Tensor, v: Tensor, kernel: str) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v, (l, n, d) contiguous, in q's dtype.

    An operation of its own, so that a compiled block holds it as one node: Sage's wrappers switch devices and call
    extensions that the compiler cannot see through.

    Args:
        q: (l, n, d); the last axis contiguous.
        k: (s, n, d), likewise.
        v: (s, n, d), likewise.
        kernel: A name of `KERNELS`.
    """
    return KERNELS[kernel](q, k, v).contiguous()


@attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, kernel: str) -> Tensor:  # noqa: ARG001 - the signature of the operation
    return q.new_empty(q.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the self-test found about one kernel.

    Attributes:
        cosine: Likeness to float32, 0 to 1; 0 if the kernel did not run.
        error: Why it is not to be used, or "".
    """

    kernel: str
    cosine: float
    error: str

    @property
    def fit(self) -> bool:
        """Whether the kernel may be used."""
        return not self.error


def probe(kernel: str, *, device: str, shape: tuple[int, int, int] = TEST_SHAPE) -> Verdict:
    """Run a kernel on random input and compare it with the plain one in float32."""
    q, k, v = _probe_input(device, shape)
    try:
        got = attention(q, k, v, kernel).float()
    # A kernel may fail in any way there is: not built, wrong architecture, wrong driver. Each is a reason to pass on.
    except Exception as err:  # noqa: BLE001
        return Verdict(kernel=kernel, cosine=0.0, error=f"{type(err).__name__}: {str(err).splitlines()[0][:200]}")
    return _compared(kernel, got, _sdpa(q.float(), k.float(), v.float()))


def probe_projected(kernel: str, *, device: str, shape: tuple[int, int, int] = TEST_SHAPE) -> Verdict:
    """Run a kernel of `INNER` on a random projection and compare it with the plain way in float32."""
    (tokens, n, d), k = shape, shape[1] * shape[2]
    qkv = torch.cat([x.flatten(1) for x in _probe_input(device, shape)], dim=1)
    weights = torch.ones((2, k), device=device)
    weights[0] *= 3  # the norm takes off what peaks the rows
    angles = torch.arange(tokens, device=device)[:, None] * torch.linspace(1, 0.001, d // 2, device=device)
    tensors = (qkv, weights, angles.cos(), angles.sin())
    eps = 1e-6
    try:
        got = projected_attention(*tensors, eps, kernel).float()
    except Exception as err:  # noqa: BLE001 - as in `probe`
        return Verdict(kernel=kernel, cosine=0.0, error=f"{type(err).__name__}: {str(err).splitlines()[0][:200]}")
    queries, keys = qk_norm_rope_reference(qkv.float(), *tensors[1:], eps)
    heads = [x.view(tokens, n, d) for x in (queries, keys, qkv[:, 2 * k :].float())]
    return _compared(kernel, got, _sdpa(*heads).flatten(1))


def _compared(kernel: str, got: Tensor, wanted: Tensor) -> Verdict:
    if not bool(got.isfinite().all()):
        return Verdict(kernel=kernel, cosine=0.0, error="its output is not finite")
    cosine = float(F.cosine_similarity(got.flatten(), wanted.flatten(), dim=0))
    error = "" if cosine >= LEAST_COSINE else f"cosine {cosine:.4f} against float32, below {LEAST_COSINE}"
    return Verdict(kernel=kernel, cosine=cosine, error=error)


def _probe_input(device: str, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator("cpu").manual_seed(1)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    # Real keys have a large mean a channel; a kernel that does not take it off shows it here.
    k = k + 2 * torch.randn(shape[1:], generator=generator)
    # Peaked rows, as in a trained model: with flat ones any kernel returns the mean of v.
    return tuple(x.to(device, dtype) for x in (3 * q, k, v))  # type: ignore[return-value]  # three of three


def first_fit(
    candidates: Sequence[str], *, device: str, shape: tuple[int, int, int] = TEST_SHAPE
) -> tuple[str, tuple[str, ...]]:
    """Return the first kernel that passes its self-test, and why each before it did not.

    Raises:
        WorkerUnfit: None passes, so the GPU or its driver is broken.
    """
    complaints: list[str] = []
    for kernel in candidates:
        verdict = probe(kernel, device=device, shape=shape)
        if verdict.fit:
            return kernel, tuple(complaints)
        complaints.append(f"attention {kernel} failed its self-test: {verdict.error}")
    raise WorkerUnfit("no attention kernel works here: " + "; ".join(complaints))


def sage_version() -> str:
    """Return the version of the `sageattention` that imports here, or ""."""
    try:
        sage: Any = importlib.import_module("sageattention")
    except Exception:  # noqa: BLE001 - a wheel for another torch or GPU fails to load in many ways
        return ""
    return _release(sage)


def _release(sage: Any) -> str:
    try:
        return importlib.metadata.version("sageattention")
    except importlib.metadata.PackageNotFoundError:
        # Run from a build folder: only 2.x has the kernels by name.
        return "2.2.0" if hasattr(sage, "sageattn_qk_int8_pv_fp16_cuda") else "1.0.6"
