"""Examinations: clips of a model for captions that training never saw, read by the trackers, on any device.

The product's own pipeline is asked in `evaluation.py`; this asks models in training, many clips at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.autoencoder import Decoder, Encoder
from training.captions import caption_all
from training.corpus import by_number_of_things, painted_bytes
from training.network import token_ids
from training.sampling import flow, path, three_steps
from training.stages.student import recorded_flow
from training.stages.teacher import Teacher, embed_mixed, velocity_mixed
from training.trackers import Seen, score, see
from training.world import Scene, draw_scenes

UNSEEN = 9_000
"""Added to the seed of scenes and captions; training draws with 1, 101 and 201."""
LATENTS = (16, 21, 10, 16)
UPRIGHT_LATENTS = (16, 21, 16, 10)
GRID = 2
"""Features are means and spreads over time of the encoder's 16 channels in GRID x GRID parts of the picture."""

Sampler = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(noise, text, generator) to clean latents."""


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Scenes and their captions.

    Attributes:
        scenes: What must be seen.
        captions: One a scene.
        real: Features of the painter's own clips (n, 128).
    """

    scenes: list[Scene]
    captions: list[str]
    real: Tensor


@torch.no_grad()
def set_exam(encoder: Encoder, number: int, seed: int, device: str, *, held_out: bool = False) -> Exam:
    """Draw scenes, say them, and paint them for comparison."""
    scenes = by_number_of_things(draw_scenes(number, UNSEEN + seed, held_out=held_out))
    parts: list[Tensor] = []
    for start in range(0, number, 64):
        frames, _ = painted_bytes(scenes[start : start + 64], device)
        parts.append(features(encoder, frames.float() / 255))
    return Exam(scenes, caption_all(scenes, UNSEEN + seed, terse=False), torch.cat(parts))


@torch.no_grad()
def features(encoder: Encoder, frames: Tensor) -> Tensor:
    """Return a clip's features: (b, 128) float64."""
    with torch.autocast(frames.device.type, torch.bfloat16, enabled=frames.is_cuda):
        latents = encoder(frames).double()
    parts = latents.unflatten(3, (GRID, -1)).unflatten(5, (GRID, -1)).mean((4, 6))  # (b, 16, t, g, g)
    return torch.cat([parts.mean(2).flatten(1), parts.std(2).flatten(1)], dim=1)


def frechet(one: Tensor, other: Tensor) -> float:
    """Return the Frechet distance between Gaussians fitted to features (n, d)."""
    one, other = one.cpu(), other.cpu()
    first, second = torch.cov(one.T), torch.cov(other.T)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    mean = (one.mean(0) - other.mean(0)).square().sum()
    return float(mean + first.trace() + second.trace() - 2 * mixed)


def teacher_sampler(teacher: Teacher, steps: int, guidance: float, device: str) -> Sampler:
    """Return a sampler of many small steps."""
    follow = recorded_flow(teacher, guidance, device)

    def sample(noise: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return flow(lambda x, s: follow(x, s, text), noise, path(steps))

    return sample


def student_sampler(student: Teacher) -> Sampler:
    """Return the sampler in the product's three steps."""

    def sample(noise: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
        return three_steps(lambda x, s, given: velocity_mixed(student.transformer, x, s, given), noise, text, generator)

    return sample


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What an examination found.

    Attributes:
        right: Share of clips by attribute.
        distance: Frechet distance of features to the painter's clips of the same scenes.
        seen: What each clip shows.
        frames: The first clips, (b, f, 3, h, w).
        order: Their places among the captions.
        scenes: What each clip should show.
    """

    right: dict[str, float]
    distance: float
    seen: list[Seen]
    frames: Tensor
    order: list[int]
    scenes: list[Scene]


@torch.no_grad()
def examine(
    model: Teacher,
    autoencoder: tuple[Encoder, Decoder],
    exam: Exam,
    sampler: Sampler,
    *,
    batch: int = 64,
    seed: int = 1,
    keep: int = 16,
) -> Result:
    """Have a model render each caption and read the clips."""
    encoder, decoder = autoencoder
    device = exam.real.device.type
    generator = torch.Generator(device).manual_seed(UNSEEN + seed)
    seen: list[Seen] = []
    found: list[Tensor] = []
    kept: list[Tensor] = []
    order = torch.randperm(len(exam.scenes), generator=torch.Generator().manual_seed(0)).tolist()
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        some = (rows * batch)[:batch]  # whole batches, so that nothing is compiled for a rest
        text = embed_mixed(model.text, token_ids([exam.captions[row] for row in some]).to(device), device)
        noise = torch.randn((batch, *LATENTS), generator=generator, device=device)
        latents = sampler(noise, text, generator)[: len(rows)]
        for part in latents.split(16):
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                frames = decoder(part).float().clamp(0, 1)
            seen += see(frames)
            found.append(features(encoder, frames))
            if sum(map(len, kept)) < keep:
                kept.append(frames.cpu())
    scenes = [exam.scenes[row] for row in order]
    return Result(
        score(seen, scenes), frechet(torch.cat(found), exam.real), seen, torch.cat(kept)[:keep], order[:keep], scenes
    )
