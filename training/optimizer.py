"""The optimizer: Muon for the matrices of a transformer's blocks, AdamW for all else.

torch.optim.Muon orthogonalizes one matrix at a time; 60 small ones are some 2,000 launches a step, which would set the
pace. Here matrices of one shape go together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.rounding import QUANTIZED

MOMENTUM = 0.95
DECAY = 0.05
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""The Newton-Schulz iteration's, as Muon's authors found them."""
ITERATIONS = 5
LIKE_ADAM = 0.2
"""Size of an entry of an update, about that of AdamW's; so both take one learning rate."""


class Muon:
    """Momentum whose direction is the nearest orthogonal matrix, for matrices of one shape."""

    def __init__(self, matrices: Sequence[nn.Parameter]) -> None:
        """Take matrices (n, k) of one shape."""
        self._matrices = list(matrices)
        self._momentum = torch.zeros((len(matrices), *matrices[0].shape), device=matrices[0].device)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the matrices."""
        gradients = torch.stack([matrix.grad for matrix in self._matrices if matrix.grad is not None])
        self._momentum.lerp_(gradients, 1 - MOMENTUM)
        updates = orthogonal(gradients.lerp(self._momentum, MOMENTUM))
        size = LIKE_ADAM * max(gradients.shape[1:]) ** 0.5
        torch._foreach_mul_(self._matrices, 1 - rate * DECAY)
        torch._foreach_add_(self._matrices, list((updates * (-rate * size)).unbind()))


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest orthogonal matrix to each of (m, n, k)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(torch.bfloat16)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """What all stages learn with."""

    def __init__(
        self,
        modules: Iterable[Any],
        rate: float,
        device: str,
        *,
        betas: tuple[float, float] = (0.9, 0.98),
        muon: bool = True,
    ) -> None:
        """Take all parameters of modules that learn.

        Args:
            modules: The ten linears of each block of a transformer go to Muon.
            rate: Highest learning rate.
            device: `cuda` or `cpu`.
            betas: AdamW's.
            muon: Whether there is Muon; else all is AdamW's.
        """
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        others: list[nn.Parameter] = []
        for module in modules:
            for name, parameter in module.named_parameters():
                if not parameter.requires_grad:
                    continue
                if muon and name.endswith(".weight") and QUANTIZED.fullmatch(name.removesuffix(".weight")):
                    by_shape.setdefault(parameter.shape, []).append(parameter)
                else:
                    others.append(parameter)
        self._rate = rate
        self._muons = [Muon(matrices) for matrices in by_shape.values()]
        self._adam = torch.optim.AdamW(others, rate, betas=betas, weight_decay=0.01, fused=device == "cuda")
        self.parameters = [*others, *(parameter for matrices in by_shape.values() for parameter in matrices)]

    def step(self, loss: Tensor, factor: float) -> None:
        """Take one step down a loss at a factor of the learning rate."""
        self.forget()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.follow(factor)

    def forget(self) -> None:
        """Drop gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def follow(self, factor: float) -> None:
        """Take one step along the gradients that there are, clipped to a norm of 1."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self._adam.param_groups[0]["lr"] = self._rate * factor
        self._adam.step()
        for muon in self._muons:
            muon.step(self._rate * factor)
