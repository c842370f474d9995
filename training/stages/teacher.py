"""Stage 2: the teacher learns the flow from noise to clips, with its text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.clock import Average, Clock
from training.corpus import Corpus
from training.network import build_text_encoder, build_transformer, embed, token_ids, velocity
from training.optimizer import Optimizer
from training.replay import Gradients
from training.sampling import mixed, spread

DROPPED = 0.1
"""Share of captions that are left out, so that the teacher also knows the flow without a caption."""
SHORT = 5
"""Latent frames of a short clip, which is the beginning of a long one. What a thing is shows in few frames."""
SHORT_SHARE = 4
"""Short clips a step for each long one: as many tokens."""
OTHER_LENGTHS = (1, 2, 3, 9, 13)
"""Latent frames of the profile's other lengths."""
OTHERS_EVERY = 50
ON_THINGS = 5.0
"""How much more latents of things count: they are a tenth of a clip, and all that is hard in it."""
PLACED = 0.8
"""Below this share of noise they do. Above it, it is not yet decided where a thing is."""
UPRIGHT_EVERY = 10


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A transformer and the text encoder that it learned with."""

    transformer: Any
    text: Any


def draw_sigma(size: int, generator: torch.Generator, device: str) -> Tensor:
    """Draw shares of noise, mostly large ones, where it is decided what a clip shows."""
    even = torch.rand(size, generator=generator, device=device)
    return 3 * even / (1 + 2 * even)


def frames_of_step(done: int, share: float) -> int:
    """Return how many latent frames the clips of a step have, or 0 for all: short ones mostly in the first half."""
    if done % OTHERS_EVERY == OTHERS_EVERY - 1:
        return OTHER_LENGTHS[done // OTHERS_EVERY % len(OTHER_LENGTHS)]
    return SHORT if (done % 4 > 0) == (share < 0.5) else 0


def train_teacher(
    clock: Clock,
    wide: Corpus,
    upright: Corpus,
    *,
    device: str,
    batch: int,
    rate: float,
    seed: int = 1,
    start: Teacher | None = None,
) -> Teacher:
    """Train by flow matching: x = (1 - sigma) clean + sigma noise, and the network predicts noise - clean.

    Args:
        clock: Time limit.
        wide: Clips of 128 x 80.
        upright: Clips of 80 x 128, every tenth batch.
        device: `cuda` or `cpu`.
        batch: Clips a step.
        rate: Highest learning rate.
        seed: Decides weights, noise and order.
        start: Weights to go on from.

    Returns:
        The averaged weights.
    """
    transformer = build_transformer(seed).to(device) if start is None else start.transformer
    text = build_text_encoder(seed).to(device) if start is None else start.text
    average = Average({"transformer": transformer, "text": text}, 0.999)
    if device == "cuda":
        compile_blocks(transformer)
    optimizer = Optimizer((transformer, text), rate, device)
    generator = torch.Generator(device).manual_seed(seed)
    empty = token_ids([""]).to(device)

    def loss_of(clean: Tensor, things: Tensor, noise: Tensor, sigma: Tensor, ids: Tensor) -> Tensor:
        seen = velocity_mixed(transformer, mixed(clean, noise, sigma), sigma, embed_mixed(text, ids, device))
        weights = 1 + ON_THINGS * things * (spread(sigma) < PLACED)
        return ((seen - (noise - clean)).square() * weights).mean() / weights.mean()

    gradients = Gradients(loss_of, optimizer)
    running = torch.zeros(2, device=device)
    while clock.share() < 1:
        frames = frames_of_step(clock.done, clock.share())
        corpus = upright if clock.done % UPRIGHT_EVERY == 5 else wide
        clean, things, ids = corpus.batch(batch * (SHORT_SHARE if frames == SHORT else 1), generator)
        ids = torch.where(torch.rand((len(ids), 1), generator=generator, device=device) < DROPPED, empty, ids)
        if frames:
            clean, things = clean[:, :, :frames].contiguous(), things[:, :, :frames].contiguous()
        inputs = (clean, things, *draw_noise(clean, generator), ids)
        if frames in (0, SHORT):
            loss = gradients(*inputs)
            optimizer.follow(clock.rate())
        else:
            with torch.compiler.set_stance("force_eager"):
                loss = loss_of(*inputs)
                optimizer.step(loss, clock.rate())
        average.follow(clock.done)
        running[int(frames == 0)].lerp_(loss.detach(), 0.02 if clock.done > 50 else 0.5)
        if clock.step() % 250 == 0:
            losses = "/".join(f"{value:.4f}" for value in running.tolist())
            print(f"teacher: {clock.elapsed():.0f} s, step {clock.done}, losses short/long {losses}", flush=True)
    return Teacher(average.modules["transformer"], average.modules["text"])


def compile_blocks(transformer: Any) -> None:
    """Compile the block, once for all layers; not where runs must be equal (`set_exact`)."""
    if torch.are_deterministic_algorithms_enabled():
        return
    for block in transformer.blocks:
        block.compile(dynamic=False)


def embed_mixed(text: Any, ids: Tensor, device: str) -> Tensor:
    """Encode word numbers in bfloat16 where there is a GPU."""
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
        return embed(text, ids).float()


def velocity_mixed(transformer: Any, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
    """Predict in bfloat16 where there is a GPU: (b, 16, t, h, w) float32."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda, cache_enabled=False):
        return velocity(transformer, x, sigma, text)


def draw_noise(clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw noise like latents, and its shares (b,)."""
    device = clean.device
    return (
        torch.randn(clean.shape, generator=generator, device=device),
        draw_sigma(len(clean), generator, device.type),
    )
