"""Stage 2: the teacher learns the flow from noise to clips, with its text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.clock import Average, Clock, optimizer, update
from training.corpus import Corpus
from training.network import build_text_encoder, build_transformer, embed, token_ids, velocity
from training.sampling import mixed

DROPPED = 0.1
"""Share of captions that are left out, so that the teacher also knows the flow without a caption."""
SHORT_LENGTHS = (2, 3, 5, 9, 13)
"""Latent frames of the profile's shorter clips: the beginnings of long ones."""
SHORT_EVERY = 6
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
    optim = optimizer([*transformer.parameters(), *text.parameters()], rate, device)
    generator = torch.Generator(device).manual_seed(seed)
    empty = token_ids([""]).to(device)
    running = torch.zeros((), device=device)
    while clock.share() < 1:
        corpus = upright if clock.done % UPRIGHT_EVERY == 5 else wide
        clean, ids = corpus.batch(batch, generator)
        dropped = torch.rand((batch, 1), generator=generator, device=device) < DROPPED
        ids = torch.where(dropped, empty, ids)
        short = clock.done % SHORT_EVERY == 3
        if short:
            clean = clean[:, :, : SHORT_LENGTHS[clock.done // SHORT_EVERY % len(SHORT_LENGTHS)]].contiguous()
        with torch.compiler.set_stance("force_eager" if short else "default"):
            loss = flow_loss(transformer, clean, embed_mixed(text, ids, device), generator, device)
            update(optim, loss, rate * clock.rate())
        average.follow(clock.done)
        clock.done += 1
        if not short:
            running = torch.lerp(running, loss.detach(), 1.0 if clock.done == 1 else 0.02)
        if clock.done % 250 == 0:
            print(f"teacher: {clock.elapsed():.0f} s, step {clock.done}, loss {running.item():.4f}", flush=True)
    return Teacher(average.modules["transformer"], average.modules["text"])


def compile_blocks(transformer: Any) -> None:
    """Compile the block, once for all layers."""
    for block in transformer.blocks:
        block.compile(dynamic=False)


def embed_mixed(text: Any, ids: Tensor, device: str) -> Tensor:
    """Encode word numbers in bfloat16 where there is a GPU."""
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return embed(text, ids).float()


def velocity_mixed(transformer: Any, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
    """Predict in bfloat16 where there is a GPU: (b, 16, t, h, w) float32."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
        return velocity(transformer, x, sigma, text)


def flow_loss(transformer: Any, clean: Tensor, text: Tensor, generator: torch.Generator, device: str) -> Tensor:
    """Return the squared error of the predicted velocity."""
    sigma = draw_sigma(clean.shape[0], generator, device)
    noise = torch.randn(clean.shape, generator=generator, device=device)
    return F.mse_loss(velocity_mixed(transformer, mixed(clean, noise, sigma), sigma, text), noise - clean)
