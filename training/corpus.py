"""What training learns from: clips painted and encoded once, with several captions each, kept on the device."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from training.autoencoder import FRAMES_A_LATENT, TRIMMED_FRAMES, Encoder
from training.captions import blurred, caption
from training.network import token_ids
from training.painter import MOST_THINGS, SceneTensors, pack, paint
from training.world import Scene, draw_scenes

CAPTIONS = 4
"""Captions a clip, each with other synonyms."""
HARD_THINGS = {"star", "cube"}
HARD_MOTIONS = {"rolls left", "rolls right", "spins"}
"""Outlines with corners that turn are the last that a model learns."""
EASY_SHARE = 0.4
"""Share of all other scenes that are kept."""
CHUNK = 64
"""Clips painted at once: 81 frames of 128 x 80 of them take 0.6 GB."""


NEAR = 2
LEAST_CHANGE = 0.02
CLEAR_CHANGE = 0.1
"""By how much a thing changes a pixel; the soft end of a shadow changes it less."""


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Encoded clips.

    Attributes:
        latents: (n, 16, t, h, w) bfloat16, variance 1.
        things: (n, 1, t, h, w) bfloat16, how much of each latent is a thing or its shadow, 0 to 1.
        ids: (n, CAPTIONS, s) word numbers.
    """

    latents: Tensor
    things: Tensor
    ids: Tensor

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return latents (b, 16, t, h, w) and things (b, 1, t, h, w), float32, and word numbers (b, s), at random."""
        device = self.latents.device
        rows = torch.randint(len(self.latents), (size,), generator=generator, device=device)
        versions = torch.randint(CAPTIONS, (size,), generator=generator, device=device)
        return self.latents[rows].float(), self.things[rows].float(), self.ids[rows, versions]


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """Captions without clips, for students, which learn from models.

    Attributes:
        ids: (n, CAPTIONS, s) word numbers.
        shape: Latents have it: (16, t, h, w).
    """

    ids: Tensor
    shape: tuple[int, int, int, int]

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return noise (b, 16, t, h, w) and word numbers (b, s) of captions at random."""
        device = self.ids.device
        rows = torch.randint(len(self.ids), (size,), generator=generator, device=device)
        versions = torch.randint(CAPTIONS, (size,), generator=generator, device=device)
        return torch.randn((size, *self.shape), generator=generator, device=device), self.ids[rows, versions]


def draw_hard_scenes(number: int, seed: int) -> list[Scene]:
    """Draw scenes: a third have a star or a cube that turns, where a sixth of the world's own have one."""
    dice = random.Random(seed)  # noqa: S311 - a world, not a secret
    drawn = draw_scenes(3 * number, seed)
    kept = [scene for scene in drawn if _is_hard(scene) or dice.random() < EASY_SHARE]
    return kept[:number]


def _is_hard(scene: Scene) -> bool:
    return any(group.thing in HARD_THINGS and group.motion in HARD_MOTIONS for group in scene.groups)


def by_number_of_things(scenes: list[Scene]) -> list[Scene]:
    """Sort scenes so that those with few things, which cost less, are painted together."""
    return sorted(scenes, key=lambda scene: sum(len(group.places) for group in scene.groups))


def paint_scenes(packed: SceneTensors, *, height: int = 80, width: int = 128) -> Tensor:
    """Paint what is packed: (b, 81, 3, h, w) float32, 0 to 1."""
    things = int(packed.on.sum(1).max())
    return paint(packed, height=height, width=width, things=min(max(things, 1), MOST_THINGS))


def painted_bytes(scenes: list[Scene], device: str) -> tuple[Tensor, Tensor]:
    """Paint scenes as (n, 81, 3, 80, 128) uint8, and tell where things are: (n, 81, 80, 128) booleans.

    The second are the pixels that things or their shadows change, and those within NEAR pixels of them.
    """
    clips = torch.empty((len(scenes), 81, 3, 80, 128), dtype=torch.uint8, device=device)
    things = torch.empty((len(scenes), 81, 80, 128), dtype=torch.bool, device=device)
    packed = pack(scenes, device)
    for start in range(0, len(scenes), CHUNK):
        some = packed.rows(start, start + CHUNK)
        frames = paint_scenes(some)
        clips[start : start + CHUNK] = (frames * 255 + 0.5).byte()
        changed = (_changed(some, frames) > LEAST_CHANGE).float()
        things[start : start + CHUNK] = F.max_pool2d(changed, 2 * NEAR + 1, stride=1, padding=NEAR) > 0
    return clips, things


def _changed(scenes: SceneTensors, frames: Tensor) -> Tensor:
    """Return by how much things and their shadows change each pixel of clips: (b, f, h, w)."""
    height, width = frames.shape[3:]
    bare = paint_scenes(replace(scenes, on=torch.zeros_like(scenes.on)), height=height, width=width)
    return (frames - bare).abs().amax(2)


def _in_latents(where: Tensor) -> Tensor:
    """Return how much of each latent is among pixels (b, f, h, w) of 0 or 1: (b, 1, t, h, w). Half of it is all."""
    padded = torch.cat([where[:, :1].expand(-1, TRIMMED_FRAMES, -1, -1), where], dim=1).unsqueeze(1)
    return (2 * F.avg_pool3d(padded, (FRAMES_A_LATENT, 8, 8))).clamp(max=1)


def make_captions(number: int, seed: int, device: str, *, upright: bool = False) -> Tensor:
    """Return the word numbers of the captions that `make_corpus` gives its clips: (n, CAPTIONS, s)."""
    return _word_numbers(_scenes(number, seed, upright=upright), seed, device)


def _scenes(number: int, seed: int, *, upright: bool) -> list[Scene]:
    scenes = by_number_of_things(draw_hard_scenes(number, seed))
    return [scene for scene in scenes if not upright or (len(scene.groups) == 1 and len(scene.groups[0].places) == 1)]


def _word_numbers(scenes: list[Scene], seed: int, device: str) -> Tensor:
    dice = random.Random(seed)  # noqa: S311 - a world, not a secret
    texts = [blurred(caption(scene, dice, terse=True), dice) for scene in scenes for _ in range(CAPTIONS)]
    return token_ids(texts).view(len(scenes), CAPTIONS, -1).to(device)


@torch.no_grad()
def make_corpus(encoder: Encoder, number: int, seed: int, device: str, *, upright: bool = False) -> Corpus:
    """Draw, paint, encode and caption clips; upright ones are 80 wide and 128 high."""
    scenes = _scenes(number, seed, upright=upright)
    width, height = (80, 128) if upright else (128, 80)
    packed = pack(scenes, device, aspect=width / height)
    parts: list[Tensor] = []
    things: list[Tensor] = []
    for start in range(0, len(scenes), CHUNK):
        some = packed.rows(start, start + CHUNK)
        frames = paint_scenes(some, height=height, width=width)
        things.append(_in_latents((_changed(some, frames) > CLEAR_CHANGE).float()).to(torch.bfloat16))
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            parts.append(encoder(frames).to(torch.bfloat16))
    return Corpus(torch.cat(parts), torch.cat(things), _word_numbers(scenes, seed, device))
