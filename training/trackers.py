"""Trackers: what a clip shows, read back from its frames by colour and place alone. Nothing here was trained.

The kind of thing is not read yet: colour, motion, floor and time of day are.

Every pixel is compared with the lines in colour space that each part of the world can have: sky, hills, sun, floor, and
each colour of a thing under the light of the time of day. What is nearest to a thing's line is that thing.

Letters: b clips, f frames, h and w pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.painter import HILL, HORIZON
from training.world import COLOURS, FLOORS, TIMES, Scene

SHADES = (0.45, 1.2)
"""How dark and how bright the painter makes a thing's colour."""
LOOKS = 21
"""Frames that are looked at: every fourth."""
LEAST_PIXELS = 14
"""A thing with fewer pixels in a frame is not seen there."""
FOUND_IN = 0.5
"""Share of frames in which a colour must be seen to count as a thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the trackers read in one clip.

    Attributes:
        time: Time of day.
        floor: Colour of the floor.
        motions: Motion by the colour of a thing.
    """

    time: str
    floor: str
    motions: dict[str, str]


def see(clips: Tensor) -> list[Seen]:
    """Read clips.

    Args:
        clips: (b, f, 3, h, w), 0 to 1, wide, of 81 frames; fewer frames show less of the motion.
    """
    frames = clips.shape[1]
    picked = torch.linspace(0, frames - 1, min(LOOKS, frames), device=clips.device).round().long()
    looked = clips[:, picked].float()
    times = _times(looked)
    floors = _floors(looked, times)
    return [_see_one(looked[row], times[row], floors[row]) for row in range(len(looked))]


def _colour(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device, dtype=torch.float32)


def _times(clips: Tensor) -> list[str]:
    """Tell the time of day by the sky's upper rows."""
    rows = max(2, clips.shape[3] // 16)
    top = clips[:, :, :, :rows].permute(0, 2, 1, 3, 4).flatten(2).median(2).values  # (b, 3)
    share = (rows / 2 / clips.shape[3] / HORIZON) ** 1.4
    names = list(TIMES)
    skies = [
        _colour(TIMES[name].top, clips.device) * (1 - share) + _colour(TIMES[name].bottom, clips.device) * share
        for name in names
    ]
    return [names[int(place)] for place in torch.cdist(top, torch.stack(skies)).argmin(1)]


def _floors(clips: Tensor, times: Sequence[str]) -> list[str]:
    """Tell the floor's colour by the picture's lowest rows, where no thing is."""
    low = clips[:, :, :, -4:].permute(0, 2, 1, 3, 4).flatten(2).median(2).values  # (b, 3)
    names = list(FLOORS)
    found: list[str] = []
    for row, time in enumerate(times):
        light = _colour(TIMES[time].light, clips.device)
        # 1.09: the floor's brightness there; 0.91 of it where half is the pattern's dark.
        shades = [_colour(FLOORS[name], clips.device) * light * (1.09 * 0.95) for name in names]
        found.append(names[int((torch.stack(shades) - low[row]).norm(dim=1).argmin())])
    return found


def _distance(pixels: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return how far pixels (…, 3) are from the line between two colours."""
    along = end - start
    share = (((pixels - start) @ along) / (along @ along).clamp(min=1e-6)).clamp(0, 1)
    return (pixels - start - share.unsqueeze(-1) * along).norm(dim=-1)


def _backdrop(pixels: Tensor, time: str, floor: str) -> Tensor:
    """Return how far each pixel (…, 3) is from what sky, sun, hills and floor can be."""
    device = pixels.device
    day = TIMES[time]
    top, bottom, sun = (_colour(colour, device) for colour in (day.top, day.bottom, day.sun))
    light = _colour(day.light, device)
    ground = _colour(FLOORS[floor], device) * light
    hill = bottom * 0.35 + _colour(HILL, device) * light * 0.65
    middle = (top + bottom) / 2
    lines = [
        (top, bottom),
        (bottom, sun),
        (middle, sun),
        (top, sun),
        (ground * 0.3, ground * 1.12),
        (ground * 0.8, bottom * 0.9),
        (hill, bottom),
        (hill, ground * 0.8),
        (hill * 0.9, hill),
    ]
    return torch.stack([_distance(pixels, *line) for line in lines]).amin(0)


def _masks(clip: Tensor, time: str, floor: str) -> dict[str, Tensor]:
    """Return where each colour of a thing is: (f, h, w) booleans for those that are seen."""
    pixels = clip.permute(0, 2, 3, 1)  # (f, h, w, 3)
    light = 0.35 + 0.65 * _colour(TIMES[time].light, clip.device)
    names = [name for name in COLOURS if name != floor]
    lines = [_colour(COLOURS[name], clip.device) * light for name in names]
    things = torch.stack([_distance(pixels, line * SHADES[0], line * SHADES[1]) for line in lines])
    nearest, which = things.min(0)
    is_thing = nearest + 0.03 < _backdrop(pixels, time, floor)
    masks = {name: _solid(is_thing & (which == number)) for number, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if _seen_often(mask)}


def _solid(mask: Tensor) -> Tensor:
    """Drop lone pixels and thin edges, where two colours mix to a third."""
    return mask & (F.avg_pool2d(mask.float().unsqueeze(1), 3, stride=1, padding=1)[:, 0] > 0.6)


def _seen_often(mask: Tensor) -> bool:
    return float((mask.flatten(1).sum(1) >= LEAST_PIXELS).float().mean()) >= FOUND_IN


def _see_one(clip: Tensor, time: str, floor: str) -> Seen:
    masks = _masks(clip, time, floor)
    return Seen(time=time, floor=floor, motions={colour: _motion(mask) for colour, mask in masks.items()})


def _motion(mask: Tensor) -> str:
    """Tell what a thing does from where its middle is in each frame; mask (f, h, w)."""
    frames, height, width = mask.shape
    weights = mask.float().flatten(1)
    seen = weights.sum(1) >= LEAST_PIXELS
    rows = (torch.arange(height, device=mask.device) + 0.5) / height
    columns = (torch.arange(width, device=mask.device) + 0.5) / height
    total = weights.sum(1).clamp(min=1)
    y = ((mask.sum(2) * rows).sum(1) / total)[seen]
    x = ((mask.sum(1) * columns).sum(1) / total)[seen]
    t = torch.linspace(0, 1, frames, device=mask.device)[seen]
    slope_x, wobble_x = _line(t, x)
    slope_y, wobble_y = _line(t, y)
    if abs(slope_y) > 0.2 and wobble_y < 0.05:
        return "rises" if slope_y < 0 else "falls"
    if wobble_y > 0.05 and wobble_y > wobble_x:
        return "bounces"
    if abs(slope_x) > 0.25 and wobble_x < 0.07:
        return "rolls right" if slope_x > 0 else "rolls left"
    return "swings" if wobble_x > 0.05 else "spins"


def _line(t: Tensor, place: Tensor) -> tuple[float, float]:
    """Return how far a straight line through a track goes over the clip, and how far the track strays from it."""
    middle = t - t.mean()
    slope = ((place * middle).sum() / (middle**2).sum().clamp(min=1e-6)).item()
    return slope, float((place - place.mean() - slope * middle).std(correction=0))


def score(seen: Sequence[Seen], scenes: Sequence[Scene]) -> dict[str, float]:
    """Return the share of scenes in which each attribute was seen as it was asked for."""
    rights: dict[str, list[bool]] = {"time": [], "floor": [], "colour": [], "motion": []}
    for found, scene in zip(seen, scenes, strict=True):
        asked = {group.colour: group.motion for group in scene.groups}
        rights["time"].append(found.time == scene.time)
        rights["floor"].append(found.floor == scene.floor)
        rights["colour"].append(set(found.motions) == set(asked))
        rights["motion"].append(all(found.motions.get(colour) == motion for colour, motion in asked.items()))
    return {name: sum(right) / len(right) for name, right in rights.items()}
