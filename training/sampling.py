"""How latents come out of noise: many small steps with guidance for the teacher, three for the student.

Letters: b clips; x latents (b, 16, t, h, w), float32; sigma the share of noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x, sigma (b,), text) to noise minus clean latents."""

TIMESTEPS = (1000.0, 757.0, 522.0)
SIGMAS = (1.0, 0.7567567567567568, 0.5217391304347826)
"""The product's `dmd3` has them, which a test compares. The network sees the timestep, the mixing uses the sigma."""


def spread(sigma: Tensor) -> Tensor:
    """Shape one number a clip for arithmetic with latents."""
    return sigma.view(-1, 1, 1, 1, 1)


def mixed(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Return latents with a share of noise."""
    return (1 - spread(sigma)) * clean + spread(sigma) * noise


def guided(model: Velocity, x: Tensor, sigma: Tensor, text: Tensor, empty: Tensor, guidance: float) -> Tensor:
    """Return the velocity with classifier-free guidance; 1 is none."""
    with_text = model(x, sigma, text)
    if guidance == 1.0:
        return with_text
    without = model(x, sigma, empty.expand_as(text))
    return without + guidance * (with_text - without)


def path(steps: int, start: float = 1.0, shift: float = 3.0) -> list[float]:
    """Return sigmas from `start` to 0; the shift makes the steps small where noise is large."""
    even = [1 - step / steps for step in range(steps + 1)]
    shifted = [shift * s / (1 + (shift - 1) * s) for s in even]
    return [start * s for s in shifted]


@torch.no_grad()
def flow(velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Follow a velocity of (latents, sigma (b,)) along sigmas with Euler steps."""
    for high, low in pairwise(sigmas):
        x = x + (low - high) * velocity(x, torch.full((x.shape[0],), high, device=x.device))
    return x


def _chosen(values: Sequence[float], step: Tensor) -> Tensor:
    """Look up a number for each step (b,), without a copy from the host, which a recording forbids."""
    found = torch.zeros(step.shape, device=step.device)
    for number, value in enumerate(values):
        found = torch.where(step == number, value, found)
    return found


def clean_at(model: Velocity, x: Tensor, step: Tensor, text: Tensor) -> Tensor:
    """Predict clean latents at one of the three steps.

    Args:
        model: Student.
        x: Latents at the step's sigma.
        step: (b,) of 0, 1, 2.
        text: (b, s, text_dim).
    """
    timesteps = _chosen(TIMESTEPS, step) / 1000
    sigma = _chosen(SIGMAS, step)
    return x - spread(sigma) * model(x, timesteps, text)


@torch.no_grad()
def three_steps(model: Velocity, noise: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
    """Sample as the product's `dmd3` does: predict, add fresh noise, repeat."""
    x = noise
    for step in range(3):
        places = torch.full((x.shape[0],), step, device=x.device)
        clean = clean_at(model, x, places, text)
        if step < 2:
            fresh = torch.randn(x.shape, generator=generator, device=x.device)
            x = mixed(clean, fresh, torch.full((x.shape[0],), SIGMAS[step + 1], device=x.device))
    return clean
