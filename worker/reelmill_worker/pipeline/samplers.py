"""The two 3-step samplers, as pure functions over a velocity: noise in, latents out.

`dmd3` is what the model was distilled with: predict the clean latents, add fresh noise, repeat.
`unipc3` is what the released CUDA examples run: a second-order predictor-corrector without fresh noise.

Letters: x latents (1, 16, t, h, w); v = noise - clean, the flow velocity; sigma the share of noise in x, 1 to 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reelmill_common.jobs import DENOISING_STEPS as STEPS

Velocity = Callable[[Tensor, float], Tensor]
"""(x, timestep 0 to 1000) -> v of the same shape; may come back in a lower precision than x."""
OnStep = Callable[[int], None]
"""Called with 0, 1, 2 before each step. What it raises ends the sampling."""

DMD_TIMESTEPS = (1000.0, 757.0, 522.0)
"""`dmd_denoising_steps` of FastVideo 2f3d4074, configs/pipelines/wan.py, not warped."""
UNIPC_TIMESTEPS = (999.0, 857.0, 599.0)
"""FlowUniPC's grid for 3 steps, truncated to whole numbers as its scheduler does."""


def dmd_sigma(timestep: float) -> float:
    """Return the sigma that DMD uses for a timestep: the nearest entry of a 1000-step table with shift 8.

    757 gives 0.75676 and not 0.757. Source: FastVideo 2f3d4074, `FlowMatchEulerDiscreteScheduler(shift=8)`.
    """
    clean = torch.arange(1000, 0, -1, dtype=torch.float32) / 1000
    sigmas = 8 * clean / (1 + 7 * clean)
    return float(sigmas[(1000 * sigmas - timestep).abs().argmin()])


DMD_SIGMAS = tuple(dmd_sigma(timestep) for timestep in DMD_TIMESTEPS)


def unipc_sigmas() -> tuple[float, ...]:
    """Return FlowUniPC's grid for 3 steps, with the final 0.

    The shift of 3 is applied twice, once to the ends of the training range and once to the grid between them:
    so does the released code (FastVideo 2f3d4074, scheduling_flow_unipc_multistep.py), and the timesteps follow.
    """
    first, last = _shift3(0.999), 0.0
    grid = [first + (last - first) * step / STEPS for step in range(STEPS)]
    return (*(_shift3(sigma) for sigma in grid), 0.0)


def _shift3(sigma: float) -> float:
    return 3 * sigma / (1 + 2 * sigma)


def dmd3(
    velocity: Velocity, noise: Tensor, fresh_noise: Callable[[], Tensor], *, on_step: OnStep = lambda _: None
) -> Tensor:
    """Turn noise into latents in three predictions with fresh noise between them.

    The clean prediction is computed in float64 and rounded to the velocity's dtype, the mixing in float32 and rounded
    likewise: done in bfloat16 it moves the latents by about 3e-3 a step.
    Source: FastVideo 2f3d4074, denoising.py `DmdDenoisingStage` and models/utils.py `pred_noise_to_pred_video`.

    Args:
        velocity: The model.
        noise: (1, 16, t, h, w), standard normal.
        fresh_noise: Draws noise of the same shape; called twice, in the order of the steps.
        on_step: Called before each step.
    """
    x = noise
    for step, (timestep, sigma) in enumerate(zip(DMD_TIMESTEPS, DMD_SIGMAS, strict=True)):
        on_step(step)
        v = velocity(x, timestep)
        clean = (x.double() - sigma * v.double()).to(v.dtype)
        if step == STEPS - 1:
            return clean
        x = _mix(clean, fresh_noise(), DMD_SIGMAS[step + 1])
    raise AssertionError("the last step returns")


def _mix(clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
    wide = torch.promote_types(clean.dtype, torch.float32)
    noise = noise.to(clean.device, wide)
    return ((1 - sigma) * clean.to(wide) + sigma * noise).to(clean.dtype)


def unipc3(velocity: Velocity, noise: Tensor, *, on_step: OnStep = lambda _: None) -> Tensor:
    """Turn noise into latents in three steps of UniPC (order 2, bh2, predicting the clean latents).

    The closed form for exactly these three steps; x stays in at least float32 throughout. The last corrector is left
    out: with a final sigma of 0 it would give back the prediction itself.
    Source: UniPC (Zhao et al., 2023), equations 3 and 8; checked against FastVideo's scheduler to 3e-7.

    Args:
        velocity: The model.
        noise: (1, 16, t, h, w), standard normal.
        on_step: Called before each step.
    """
    s0, s1, s2, _ = unipc_sigmas()
    x = noise.to(torch.promote_types(noise.dtype, torch.float32))

    on_step(0)
    clean0 = _clean(velocity, x, 0, s0)
    moved = _first_order(x, clean0, s0, s1)

    on_step(1)
    clean1 = _clean(velocity, moved, 1, s1)
    corrected = moved - _bend(s0, s1) * 0.5 * (clean1 - clean0)
    slope = (clean0 - clean1) * (_log_snr(s2) - _log_snr(s1)) / (_log_snr(s0) - _log_snr(s1))
    x = _first_order(corrected, clean1, s1, s2) - _bend(s1, s2) * 0.5 * slope

    on_step(2)
    return _clean(velocity, x, 2, s2)


def _clean(velocity: Velocity, x: Tensor, step: int, sigma: float) -> Tensor:
    return x - sigma * velocity(x, UNIPC_TIMESTEPS[step]).to(x.dtype)


def _first_order(x: Tensor, clean: Tensor, sigma: float, lower: float) -> Tensor:
    return (lower / sigma) * x - _bend(sigma, lower) * clean


def _bend(sigma: float, lower: float) -> float:
    """Return alpha * (exp(-h) - 1) for the move to `lower`, h being the gain in half the log signal-to-noise ratio."""
    return (1 - lower) * math.expm1(_log_snr(sigma) - _log_snr(lower))


def _log_snr(sigma: float) -> float:
    return math.log((1 - sigma) / sigma)
