"""Stage 1: the autoencoder learns to give back what it was shown, through 16 channels of an eighth of the size."""

from __future__ import annotations

import torch
from torch import Tensor

from training.autoencoder import Decoder, Encoder, psnr
from training.clock import Average, Clock, optimizer, update
from training.corpus import by_number_of_things, painted_bytes
from training.world import draw_scenes

RATE = 2e-3
WINDOW = 33
"""Frames a sample: the decoder remembers one latent frame a block, so longer clips teach nothing else."""
NOISE = 0.08
"""Spread of what is added to latents, so that the decoder forgives what a transformer predicts."""


def train_autoencoder(
    clock: Clock, *, device: str, clips: int, batch: int, seed: int = 1
) -> tuple[Encoder, Decoder, float]:
    """Train encoder and decoder; return their averages and the PSNR in dB of up to 64 unseen clips.

    Args:
        clock: Time limit.
        device: `cuda` or `cpu`.
        clips: Clips to paint and keep, as bytes: 2.5 MB each.
        batch: Clips a step.
        seed: Decides the world's clips and the weights.
    """
    torch.manual_seed(seed)
    frames = painted_bytes(by_number_of_things(draw_scenes(clips, seed)), device)
    print(f"autoencoder: painted {clips} clips in {clock.elapsed():.0f} s", flush=True)
    encoder, decoder = Encoder().to(device), Decoder().to(device)
    for module in (encoder, decoder):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types it for tensors only
    average = Average({"encoder": encoder, "decoder": decoder}, 0.998)
    optim = optimizer([*encoder.parameters(), *decoder.parameters()], RATE, device)
    generator = torch.Generator(device).manual_seed(seed)
    while clock.share() < 1:
        sample = _window(frames, batch, generator)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            latents = encoder(sample)
            seen = decoder(latents + NOISE * torch.randn_like(latents))
        loss = _loss(seen.float(), sample)
        update(optim, loss, RATE * clock.rate())
        average.follow(clock.done)
        clock.done += 1
        if clock.done % 250 == 0:
            print(f"autoencoder: {clock.elapsed():.0f} s, step {clock.done}, loss {loss.item():.5f}", flush=True)
    best_encoder, best_decoder = average.modules["encoder"], average.modules["decoder"]
    return best_encoder, best_decoder, check(best_encoder, best_decoder, device, seed=seed + 1000, clips=min(clips, 64))


def _window(frames: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Return some frames in a row of clips at random: (b, WINDOW, 3, h, w) float32."""
    device = frames.device
    rows = torch.randint(len(frames), (batch,), generator=generator, device=device)
    starts = torch.randint(frames.shape[1] - WINDOW + 1, (batch, 1), generator=generator, device=device)
    places = starts + torch.arange(WINDOW, device=device)
    return frames[rows[:, None], places].float() / 255


def _loss(seen: Tensor, wanted: Tensor) -> Tensor:
    """Mix absolute and squared error; saturated pixels, which things are made of, count more."""
    colourful = wanted.amax(2, keepdim=True) - wanted.amin(2, keepdim=True)
    error = seen - wanted
    return ((0.1 * error.abs() + error**2) * (1 + 3 * colourful)).mean()


@torch.no_grad()
def check(encoder: Encoder, decoder: Decoder, device: str, *, seed: int, clips: int) -> float:
    """Return the mean PSNR in dB of unseen clips."""
    frames = painted_bytes(draw_scenes(clips, seed), device)
    found: list[Tensor] = []
    for start in range(0, clips, 16):
        sample = frames[start : start + 16].float() / 255
        found.append(psnr(decoder(encoder(sample)), sample))
    return float(torch.cat(found).mean())
