"""Stage 1: the autoencoder learns to give back what it was shown, through 16 channels of an eighth of the size."""

from __future__ import annotations

import torch
from torch import Tensor

from training.autoencoder import Decoder, Encoder, psnr
from training.clock import Average, Clock
from training.corpus import by_number_of_things, draw_hard_scenes, painted_bytes
from training.optimizer import Optimizer
from training.world import draw_scenes

RATE = 2e-3
WINDOW = 17
"""Frames a sample."""
NOISE = 0.15
"""Spread of what is added to latents, so that the decoder forgives what a transformer predicts."""
ON_THINGS = 6.0
"""How much more the pixels of things and shadows count."""


def train_autoencoder(
    clock: Clock,
    *,
    device: str,
    clips: int,
    batch: int,
    seed: int = 1,
    start: tuple[Encoder, Decoder] | None = None,
) -> tuple[Encoder, Decoder, tuple[float, float]]:
    """Train encoder and decoder; return their averages and the PSNR in dB of up to 64 unseen clips.

    Args:
        clock: Time limit.
        device: `cuda` or `cpu`.
        clips: Clips to paint and keep, as bytes: 3.3 MB each.
        batch: Clips a step.
        seed: Decides the world's clips and the weights.
        start: Weights to go on from: of the encoder, which stays as it is, and of the decoder.

    Returns:
        Encoder, decoder, and PSNR of all pixels and of those of things.
    """
    torch.manual_seed(seed)
    frames, things = painted_bytes(by_number_of_things(draw_hard_scenes(clips, seed)), device)
    print(f"autoencoder: painted {clips} clips in {clock.elapsed():.0f} s", flush=True)
    encoder, decoder = start or (Encoder().to(device), Decoder().to(device))
    decoder.requires_grad_(requires_grad=True)
    for module in (encoder, decoder):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types it for tensors only
    average = Average({"encoder": encoder, "decoder": decoder}, 0.998)
    optimizer = Optimizer((encoder, decoder), RATE, device)
    generator = torch.Generator(device).manual_seed(seed)
    while clock.share() < 1:
        rows, places = _window(frames, batch, generator)
        sample = frames[rows, places].float() / 255
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            latents = encoder(sample)
            fuzz = torch.randn(latents.shape, generator=generator, device=device)
            seen = decoder(latents + NOISE * fuzz)
        loss = _loss(seen.float(), sample, things[rows, places])
        optimizer.step(loss, clock.rate())
        average.follow(clock.done)
        if clock.step() % 250 == 0:
            print(f"autoencoder: {clock.elapsed():.0f} s, step {clock.done}, loss {loss.item():.5f}", flush=True)
    best_encoder, best_decoder = average.modules["encoder"], average.modules["decoder"]
    return best_encoder, best_decoder, check(best_encoder, best_decoder, device, seed=seed + 1000, clips=min(clips, 64))


def _window(frames: Tensor, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose WINDOW frames in a row of clips at random: rows (b, 1) and places (b, WINDOW)."""
    device = frames.device
    rows = torch.randint(len(frames), (batch, 1), generator=generator, device=device)
    starts = torch.randint(frames.shape[1] - WINDOW + 1, (batch, 1), generator=generator, device=device)
    return rows, starts + torch.arange(WINDOW, device=device)


def _loss(seen: Tensor, wanted: Tensor, things: Tensor) -> Tensor:
    """Mix absolute and squared error of colours, and absolute error of differences of neighbours, which edges are."""
    weights = 1 + ON_THINGS * things.float().unsqueeze(2)
    error = seen - wanted
    across, down = error.diff(dim=4).abs(), error.diff(dim=3).abs()
    colours = ((0.1 * error.abs() + error**2) * weights).mean()
    edges = (across * weights[..., 1:]).mean() + (down * weights[..., 1:, :]).mean()
    return colours + 0.1 * edges


@torch.no_grad()
def check(encoder: Encoder, decoder: Decoder, device: str, *, seed: int, clips: int) -> tuple[float, float]:
    """Return the mean PSNR in dB of unseen clips: of all pixels, and of those of things."""
    frames, things = painted_bytes(draw_scenes(clips, seed), device)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for start in range(0, clips, 16):
        sample = frames[start : start + 16].float() / 255
        seen = decoder(encoder(sample))
        found[0].append(psnr(seen, sample))
        found[1].append(psnr(seen, sample, things[start : start + 16]))
    return float(torch.cat(found[0]).mean()), float(torch.cat(found[1]).mean())
