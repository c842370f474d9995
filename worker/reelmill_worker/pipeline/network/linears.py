"""The large linears of the transformer, in each precision that a plan can ask for, from each form that a file has.

A file holds a weight as floats, or as `<name>.weight` in float8_e4m3fn with `<name>.weight_scale` in float32, one scale
for the tensor or one a row; code times scale is the weight. Floats are rounded to such codes first, as the plan says,
in each precision of the multiplication: every plan computes with the weights that an artifact would hold.

Letters: m rows (tokens), k channels in, n channels out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_common.errors import InvalidModel
from reelmill_worker.kernels.int8_gemm import int8_linear, int8_linear_reference
from reelmill_worker.kernels.quantize import LEAST_PEAK, PEAKS, Target, encode, quantize_rows_reference
from reelmill_worker.pipeline.checkpoint.layout import WeightScales
from reelmill_worker.pipeline.network.plan import RenderPlan

E4M3_PEAK = PEAKS["e4m3"]


class Linear(Protocol):
    """Multiplies what a fused operation left behind."""

    @property
    def target(self) -> Target:
        """The format that `__call__` wants its values in."""
        ...

    def __call__(self, values: Tensor, scale: Tensor) -> Tensor:
        """Return x w^T + bias, (m, n) in the plan's dtype.

        Args:
            values: (m, k), floats or codes as `target` says.
            scale: (m, 1) float32, the scales of codes; empty for floats.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DenseLinear:
    """Multiplies floats by weights in floats."""

    weight: Tensor
    bias: Tensor

    @property
    def target(self) -> Target:
        """The format of the values: floats."""
        return "none"

    def __call__(self, values: Tensor, scale: Tensor) -> Tensor:
        """Return the values times the weight, transposed, plus the bias."""
        del scale
        return F.linear(values, self.weight, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class DequantLinear:
    """Multiplies floats by e4m3 weights (n, k) with scales (n, 1): for a CPU, which has no 8-bit float arithmetic."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    @property
    def target(self) -> Target:
        """The format of the values: floats, which the CPU computes with."""
        return "none"

    def __call__(self, values: Tensor, scale: Tensor) -> Tensor:
        """Turn the weight into floats, which stay 4 x larger only while they are used, and multiply."""
        del scale
        weight = self.weight.to(values.dtype) * self.scale.to(values.dtype)
        return F.linear(values, weight, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class RowFp8Linear:
    """e4m3 times e4m3 on FP8 tensor cores, one scale a token and one a weight row, bias in the epilogue.

    Fast accumulation: as fast as one scale a tensor on an H100 (0.42 ms for 1536 -> 4608, our measurement), and no pass
    over the whole activation is needed before the first row can be quantized.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    @property
    def target(self) -> Target:
        """The format of the values: codes with a scale a row."""
        return "e4m3"

    def __call__(self, values: Tensor, scale: Tensor) -> Tensor:
        """Multiply; the weight is handed over as a column-major view, which is what the tensor cores take."""
        return torch._scaled_mm(  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]  # noqa: SLF001 - the only way to FP8 tensor cores
            values,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale.t(),
            bias=self.bias,
            out_dtype=self.bias.dtype,
            use_fast_accum=True,
        )


@dataclass(frozen=True, slots=True, eq=False)
class TensorFp8Linear:
    """e4m3 times e4m3 as the released code computes it: one dynamic scale for the whole activation, bias afterwards.

    Its quirk is kept: codes are x over the scale rounded to bfloat16, but the product uses the unrounded scale, up to
    0.4 % off. The model was trained with it. Source: FastVideo 2f3d4074, layers/quantization/fp8_config.py.

    Attributes:
        parts: (weight (n, k), scale () or (n, 1)) of each linear that shares this input; their outputs are joined.
        bias: (n,) of all parts.
    """

    parts: tuple[tuple[Tensor, Tensor], ...]
    bias: Tensor

    @property
    def target(self) -> Target:
        """The format of the values: floats, since the scale depends on the whole activation."""
        return "none"

    def __call__(self, values: Tensor, scale: Tensor) -> Tensor:
        """Quantize the activation once and multiply each part by it."""
        del scale
        peak = values.abs().amax().float() / E4M3_PEAK
        whole = peak.clamp(min=LEAST_PEAK / E4M3_PEAK)
        codes = encode((values / whole.to(values.dtype)).float(), "e4m3")
        outs = [self._multiply(codes, whole, weight, part) for weight, part in self.parts]
        return (outs[0] if len(outs) == 1 else torch.cat(outs, dim=1)) + self.bias

    def _multiply(self, codes: Tensor, whole: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        by_row = scale.ndim > 0
        one = torch.ones_like(whole) if by_row else scale
        multiply = torch._scaled_mm  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]  # noqa: SLF001 - as above
        out: Tensor = multiply(codes, weight.t(), scale_a=whole, scale_b=one, out_dtype=self.bias.dtype)
        return out * scale.t().to(out.dtype) if by_row else out


@dataclass(frozen=True, slots=True, eq=False)
class Int8Linear:
    """int8 times int8 on integer tensor cores, one scale a token and one a weight row: for Ampere."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    @property
    def target(self) -> Target:
        """The format of the values: codes with a scale a row."""
        return "int8"

    def __call__(self, values: Tensor, scale: Tensor) -> Tensor:
        """Multiply; scales and bias are applied before anything is written."""
        multiply = int8_linear if values.is_cuda else int8_linear_reference
        return multiply(values, scale, self.weight, self.scale, self.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLinear:
    """One linear as the file has it.

    Attributes:
        weight: (n, k), floats or float8_e4m3fn.
        scale: None for floats; else float32, () or (n,).
        bias: (n,).
    """

    weight: Tensor
    scale: Tensor | None
    bias: Tensor

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], name: str, device: str) -> StoredLinear:
        """Take a linear's tensors out of a file and onto a device.

        Raises:
            InvalidModel: A tensor is missing, or codes come without scales.
        """
        weight = tensor_of(tensors, f"{name}.weight").to(device)
        bias = tensor_of(tensors, f"{name}.bias").to(device)
        if weight.dtype != torch.float8_e4m3fn:
            return cls(weight=weight, scale=None, bias=bias)
        scale = tensor_of(tensors, f"{name}.weight_scale").to(device, torch.float32)
        if scale.numel() not in (1, weight.shape[0]):
            raise InvalidModel(
                f"{name}.weight_scale has shape {tuple(scale.shape)}; wanted one scale, or one for each of the "
                f"{weight.shape[0]} rows"
            )
        return cls(weight=weight, scale=scale, bias=bias)

    def rounded(self, scales: WeightScales) -> StoredLinear:
        """Return the linear with its floats as e4m3 codes; codes that the file has stay as they are."""
        if self.scale is not None or scales == "none":
            return self
        codes, scale = quantize_weight(self.weight, scales)
        return StoredLinear(weight=codes, scale=scale, bias=self.bias)

    def floats(self) -> Tensor:
        """Return the weight (n, k) in float32."""
        if self.scale is None:
            return self.weight.float()
        return self.weight.float() * self.scale.reshape(-1, 1)

    def by_row(self) -> tuple[Tensor, Tensor]:
        """Return the codes (n, k) and a scale for each row (n, 1); a scale of the whole tensor is repeated."""
        weight, scale = self._codes()
        return weight, scale.reshape(-1, 1).expand(weight.shape[0], 1).contiguous()

    def by_tensor(self) -> tuple[Tensor, Tensor]:
        """Return the codes (n, k) and one scale, or the scales (n, 1) that the file has."""
        weight, scale = self._codes()
        return weight, scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, 1)

    def _codes(self) -> tuple[Tensor, Tensor]:
        if self.scale is None:
            raise ValueError("wanted weights in e4m3, got floats; fp8 linears need weight_scales of tensor or row")
        return self.weight, self.scale


def quantize_weight(weight: Tensor, scales: WeightScales) -> tuple[Tensor, Tensor]:
    """Return e4m3 codes (n, k) of a weight, and its scale () or scales (n,) in float32."""
    if scales == "tensor":
        return quantize_tensor(weight)
    codes, scale = quantize_rows_reference(weight, "e4m3")
    return codes, scale.reshape(-1)


def quantize_tensor(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return e4m3 codes and the one scale of a weight, as FP8 QAT rounds it in training and released code on load.

    Cast to bfloat16 first, then divided by the scale rounded to bfloat16, while the scale that is kept is not rounded.
    Source: FastVideo 2f3d4074, layers/fp8linear.py and layers/quantization/fp8_config.py.
    """
    weight = weight.to(torch.bfloat16)
    # By a tensor: CUDA divides by a Python number as it multiplies by the inverse, and is 1 ulp off what a CPU gives.
    largest_code = weight.new_full((), E4M3_PEAK, dtype=torch.float32)
    scale = (weight.abs().amax().float() / largest_code).clamp(min=LEAST_PEAK / E4M3_PEAK)
    return encode((weight / scale.to(weight.dtype)).float(), "e4m3"), scale


def load_linear(tensors: Mapping[str, Tensor], names: Sequence[str], plan: RenderPlan) -> Linear:
    """Load one linear, or several that share an input as one whose outputs are joined.

    Args:
        tensors: The file, by diffusers' names.
        names: Without `.weight`; three for a fused query, key, value projection.
        plan: Says the precision.

    Raises:
        InvalidModel: A tensor is missing or mis-shaped.
    """
    # Each weight is rounded by itself: a projection that is fused of several has the scales of each.
    stored = [StoredLinear.read(tensors, name, plan.device).rounded(plan.weight_scales) for name in names]
    dtype = plan.torch_dtype
    bias = torch.cat([linear.bias for linear in stored]).to(dtype)
    if plan.linears == "fp8" and plan.device == "cpu":
        return DequantLinear(*_joined([linear.by_row() for linear in stored]), bias)
    if plan.linears == "fp8" and plan.fp8 == "row":
        return RowFp8Linear(*_joined([linear.by_row() for linear in stored]), bias)
    if plan.linears == "fp8":
        return TensorFp8Linear(tuple(linear.by_tensor() for linear in stored), bias)
    if plan.linears == "int8":
        rows = [quantize_rows_reference(linear.floats(), "int8") for linear in stored]
        return Int8Linear(*_joined(rows), bias)
    return DenseLinear(torch.cat([linear.floats().to(dtype) for linear in stored]), bias)


def _joined(rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len(rows) == 1:
        return rows[0]
    weights, scales = zip(*rows, strict=True)
    # Joined as bytes: not every torch joins 8-bit floats.
    joined = torch.cat([weight.view(torch.uint8) for weight in weights]).view(weights[0].dtype)
    return joined, torch.cat(scales)


def tensor_of(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a tensor of the file.

    Raises:
        InvalidModel: It is not there.
    """
    try:
        return tensors[name]
    except KeyError:
        raise InvalidModel(f"the transformer's file has no tensor {name!r}; pull or quantize the model again") from None
