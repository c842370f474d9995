"""The UMT5 encoder in memory: where the plan wants it, in the plan's precision, filled tensor by tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.skeleton import skeleton
from reelmill_worker.pipeline.checkpoint.weights import Part
from reelmill_worker.pipeline.network.plan import RenderPlan

BYTE_PEAK = 127


class ByteLinear(nn.Module):
    """A linear without bias whose weight is int8 with one scale a row, turned into floats where it is used.

    At the encoder's short sequences the time goes into reading weights, so half the bytes cost no time.

    Attributes:
        weight: (n, k) int8. Under this name and dtype, `transformers` leaves the input's dtype alone.
        scale: (n, 1), in the dtype to compute in.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        """Quantise a weight (n, k) of floats, on its device."""
        super().__init__()
        wide = weight.float()
        scale = wide.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / BYTE_PEAK  # (n, 1)
        self.register_buffer("weight", (wide / scale).round().to(torch.int8))
        self.register_buffer("scale", scale.to(weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the weight, transposed."""
        return F.linear(x, self.weight.to(self.scale.dtype) * self.scale)


def load_text_model(part: Part, *, plan: RenderPlan) -> nn.Module:
    """Load the text encoder, one tensor at a time: its 22.7 GB of float32 are never in memory as such."""
    place = "cpu" if plan.text_encoder == "cpu" else plan.device
    model = skeleton(layout.TEXT_ENCODER, part.config)
    in_bytes = plan.text_encoder == "gpu-8bit"
    linears = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name in part.tensors:
        module, _, leaf = name.rpartition(".")
        tensor = part.tensors[name].to(place, plan.torch_dtype)
        if in_bytes and module in linears:
            model.set_submodule(module, ByteLinear(tensor))
        else:
            model.get_submodule(module).register_parameter(leaf, nn.Parameter(tensor, requires_grad=False))
    _tie(model, "shared" if "shared.weight" in part.tensors else "encoder.embed_tokens")
    return model.requires_grad_(requires_grad=False)


def _tie(model: nn.Module, stored: str) -> None:
    weight = nn.Parameter(model.get_parameter(f"{stored}.weight"), requires_grad=False)
    for name in ("shared", "encoder.embed_tokens"):
        model.get_submodule(name).register_parameter("weight", weight)
