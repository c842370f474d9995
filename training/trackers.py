"""Trackers: what a clip shows, read back from its frames by colour, place and outline. Nothing here was trained.

Every pixel is compared with the lines in colour space that each part of the world can have: sky, hills, sun, floor, and
each colour of a thing under the light of the time of day. What is nearest to a thing's line is that thing. Its largest
region is compared with the painter's outlines, turned.

Letters: b clips, f frames, h and w pixels, k lines in colour space, n things: pairs of a clip and a colour seen in it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.painter import HILL, HORIZON, SHAPES
from training.world import COLOURS, FLOORS, SIZES, THINGS, TIMES, Colour, Scene

SHADES = (0.45, 1.2)
"""How dark and how bright the painter makes a thing's colour."""
LOOKS = 21
"""Frames that are looked at: every fourth."""
LEAST_PIXELS = 40
"""A thing with fewer pixels in a frame is not seen there."""
LEAST_CORE = 8
"""Pixels of a thing that lie two pixels inside it; blurred edges, where two colours mix to a third, have none."""
FOUND_IN = 0.5
"""Share of frames in which a colour must be seen to count as a thing."""
CLEARER = 0.03
"""By how much nearer to a thing's colours than to the backdrop's a pixel must be."""
CHUNK = 32
"""Clips looked at together: 32 of them take 2 GB."""
PATCH, REACH = 28, 1.0
"""Pixels of a patch's side, and how far it reaches from the middle, in square roots of the thing's area."""
ANGLES = 36
"""Turned outlines of each kind of thing and size."""
SOFTENED = 3
"""Times that outlines are averaged over 3 x 3 pixels, which together spread them by 1.4 pixels."""
HEIGHT, SHEET = 80, 64
"""Rows of the frames that outlines are drawn for, and the side in pixels of what one is drawn on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the trackers read in one clip.

    Attributes:
        time: Time of day.
        floor: Colour of the floor.
        things: Kind of thing by its colour.
        motions: Motion by the colour of a thing.
    """

    time: str
    floor: str
    things: dict[str, str]
    motions: dict[str, str]


@torch.no_grad()
def see(clips: Tensor) -> list[Seen]:
    """Read clips.

    Args:
        clips: (b, f, 3, h, w), 0 to 1, wide, of 81 frames; fewer frames show less of the motion.
    """
    frames = clips.shape[1]
    picked = torch.linspace(0, frames - 1, min(LOOKS, frames), device=clips.device).round().long()
    found: list[Seen] = []
    for start in range(0, len(clips), CHUNK):
        found += _see(clips[start : start + CHUNK, picked].float())
    return found


def _see(clips: Tensor) -> list[Seen]:
    times = _times(clips)
    floors = _floors(clips, times)
    masks = _masks(clips, times, floors)  # (b, colours, f, h, w)
    seen_in = _seen(masks)
    rows, colours = (seen_in.float().mean(2) >= FOUND_IN).nonzero(as_tuple=True)
    kinds, motions = _kinds(masks[rows, colours], seen_in[rows, colours]), _motions(masks[rows, colours])
    found = [Seen(time=time, floor=floor, things={}, motions={}) for time, floor in zip(times, floors, strict=True)]
    for row, colour, kind, motion in zip(rows.tolist(), colours.tolist(), kinds, motions, strict=True):
        found[row].things[list(COLOURS)[colour]] = kind
        found[row].motions[list(COLOURS)[colour]] = motion
    return found


def _colour(values: Sequence[float] | Sequence[Colour], device: torch.device) -> Tensor:
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
    return [names[place] for place in torch.cdist(top, torch.stack(skies)).argmin(1).tolist()]


def _floors(clips: Tensor, times: Sequence[str]) -> list[str]:
    """Tell the floor's colour by the picture's lowest rows, where no thing is."""
    low = clips[:, :, :, -4:].permute(0, 2, 1, 3, 4).flatten(2).median(2).values  # (b, 3)
    names = list(FLOORS)
    light = _colour([TIMES[time].light for time in times], clips.device)
    # 1.09: the floor's brightness there; 0.96 of it where half is the pattern's dark.
    shades = _colour([FLOORS[name] for name in names], clips.device) * light.unsqueeze(1) * (1.09 * 0.96)
    return [names[place] for place in (shades - low.unsqueeze(1)).norm(dim=2).argmin(1).tolist()]


def _distances(pixels: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return how far pixels (b, p, 3) are from lines between two colours (b, k, 3): (b, p, k)."""
    along = end - start
    square = (along**2).sum(2).clamp(min=1e-6).unsqueeze(1)  # (b, 1, k)
    reached = pixels @ along.mT - (start * along).sum(2).unsqueeze(1)
    share = (reached / square).clamp(0, 1)
    away = (pixels**2).sum(2, keepdim=True) - 2 * pixels @ start.mT + (start**2).sum(2).unsqueeze(1)
    return (away - 2 * share * reached + share**2 * square).clamp(min=0).sqrt()


def _backdrop(times: Sequence[str], floors: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the lines that sky, sun, hills and floor can have: starts and ends, (b, k, 3)."""
    days = [TIMES[time] for time in times]
    top, bottom, sun = (_colour([getattr(day, part) for day in days], device) for part in ("top", "bottom", "sun"))
    light = _colour([day.light for day in days], device)
    ground = _colour([FLOORS[floor] for floor in floors], device) * light
    hill = bottom * 0.35 + _colour(HILL, device) * light * 0.65
    middle = (top + bottom) / 2
    lines = (
        (top, bottom),
        (bottom, sun),
        (middle, sun),
        (top, sun),
        (ground * 0.3, ground * 1.12),
        (ground * 0.8, bottom * 0.9),
        (hill, bottom),
        (hill, ground * 0.8),
        (hill * 0.9, hill),
    )
    return torch.stack([start for start, _ in lines], dim=1), torch.stack([end for _, end in lines], dim=1)


def _masks(clips: Tensor, times: Sequence[str], floors: Sequence[str]) -> Tensor:
    """Return where each colour of a thing is: (b, colours, f, h, w) booleans."""
    b, f, _, h, w = clips.shape
    pixels = clips.permute(0, 1, 3, 4, 2).reshape(b, -1, 3)
    light = 0.35 + 0.65 * _colour([TIMES[time].light for time in times], clips.device)
    lines = _colour(list(COLOURS.values()), clips.device) * light.unsqueeze(1)
    things = _distances(pixels, lines * SHADES[0], lines * SHADES[1])
    # The world has no thing of the floor's colour.
    same = torch.tensor([[name == floor for name in COLOURS] for floor in floors], device=clips.device)
    nearest, which = things.masked_fill(same.unsqueeze(1), torch.inf).min(2)
    is_thing = nearest + CLEARER < _distances(pixels, *_backdrop(times, floors, clips.device)).amin(2)
    which = torch.where(is_thing, which, -1).view(b, 1, f, h, w)
    return _solid(which == torch.arange(len(COLOURS), device=clips.device).view(1, -1, 1, 1, 1))


def _near(masks: Tensor, side: int) -> Tensor:
    """Return the share of each pixel's square of neighbours that is in the mask; (…, h, w)."""
    flat = masks.float().flatten(0, -3).unsqueeze(1)
    return F.avg_pool2d(flat, side, stride=1, padding=side // 2).view(masks.shape)


def _solid(masks: Tensor) -> Tensor:
    """Drop lone pixels and thin edges, where two colours mix to a third."""
    return masks & (_near(masks, 3) > 0.6)


def _seen(masks: Tensor) -> Tensor:
    """Return in which frames there is a thing of a colour and not only an edge; (…, h, w) to (…)."""
    cores = masks & (_near(masks, 5) > 0.95)
    return (masks.flatten(-2).sum(-1) >= LEAST_PIXELS) & (cores.flatten(-2).sum(-1) >= LEAST_CORE)


def _kinds(masks: Tensor, seen_in: Tensor) -> list[str]:
    """Tell the kind of each thing by the outline of its largest region; masks (n, f, h, w), seen_in (n, f)."""
    if not len(masks):
        return []
    regions = _largest(masks.flatten(0, 1)).float()
    patches = _patches(regions).flatten(1)  # (n f, p)
    outlines = _outlines(masks.device)  # (kinds, angles, p)
    both = patches @ outlines.flatten(0, 1).T
    either = patches.sum(1, keepdim=True) + outlines.flatten(0, 1).sum(1) - both
    overlap = (both / either.clamp(min=1)).view(*masks.shape[:2], len(THINGS), -1).amax(3)
    means = (overlap * seen_in.unsqueeze(2)).sum(1)
    return [THINGS[place] for place in means.argmax(1).tolist()]


def _largest(masks: Tensor) -> Tensor:
    """Return the largest connected region of each mask (m, h, w)."""
    m, h, w = masks.shape
    own = torch.arange(1, h * w + 1, device=masks.device, dtype=torch.float32).view(1, h, w)
    names, before = own * masks, torch.zeros((), device=masks.device)
    while not before.equal(names):  # each pixel takes the greatest name beside it until regions have one name each
        before = names
        for _ in range(8):
            names = F.max_pool2d(names, 3, stride=1, padding=1) * masks
    flat = names.long().flatten(1)
    sizes = torch.zeros((m, h * w + 1), device=masks.device).scatter_add_(1, flat, masks.flatten(1).float())
    sizes[:, 0] = 0.5
    return masks & (names == sizes.argmax(1).view(-1, 1, 1))


def _patches(regions: Tensor) -> Tensor:
    """Cut out regions (m, h, w) around their middles, scaled to one area: (m, PATCH, PATCH)."""
    _, h, w = regions.shape
    area = regions.flatten(1).sum(1).clamp(min=1)
    rows = torch.arange(h, device=regions.device) + 0.5
    columns = torch.arange(w, device=regions.device) + 0.5
    y, x = (regions.sum(2) @ rows) / area, (regions.sum(1) @ columns) / area
    reach = area.sqrt() * REACH
    line = _line_of_patch(regions.device)
    grid_x = ((x.view(-1, 1, 1) + reach.view(-1, 1, 1) * line.view(1, 1, -1)) * 2 / w - 1).expand(-1, PATCH, -1)
    grid_y = ((y.view(-1, 1, 1) + reach.view(-1, 1, 1) * line.view(1, -1, 1)) * 2 / h - 1).expand(-1, -1, PATCH)
    grid = torch.stack([grid_x, grid_y], dim=3)
    return F.grid_sample(regions.unsqueeze(1), grid, align_corners=False)[:, 0]


def _line_of_patch(device: torch.device) -> Tensor:
    return (torch.arange(PATCH, device=device) + 0.5) / PATCH * 2 - 1


@functools.cache
def _outlines(device: torch.device) -> Tensor:
    """Return the painter's outlines of each size, softened as a decoder does, then cleaned and cut out as regions are.

    Both take the points off a star, and a sharp outline is less like what is left of a small one than a cube is.

    Returns:
        (kinds, sizes * ANGLES, PATCH * PATCH), 0 to 1.
    """
    line = torch.arange(SHEET, device=device) + 0.5 - SHEET / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    found: list[Tensor] = []
    for shape, size in itertools.product(SHAPES, SIZES.values()):
        radius = size * HEIGHT
        for number in range(ANGLES):
            cos, sin = math.cos(2 * math.pi * number / ANGLES), math.sin(2 * math.pi * number / ANGLES)
            turned = (cos * x + sin * y) / radius, (cos * y - sin * x) / radius
            found.append(shape(turned, turned, torch.tensor(1 / radius, device=device))[0] < 0)
    soft = torch.stack(found).float()
    for _ in range(SOFTENED):
        soft = _near(soft, 3)
    patches = _patches(_largest(_solid(soft > 0.5)).float())
    return patches.view(len(SHAPES), len(SIZES) * ANGLES, -1)


def _motions(masks: Tensor) -> list[str]:
    """Tell what things do from where their middle is in each frame; masks (n, f, h, w)."""
    if not len(masks):
        return []
    _, frames, height, width = masks.shape
    weights = masks.float()
    area = weights.flatten(2).sum(2)
    rows = (torch.arange(height, device=masks.device) + 0.5) / height
    columns = (torch.arange(width, device=masks.device) + 0.5) / height
    y, x = weights.sum(3) @ rows / area.clamp(min=1), weights.sum(2) @ columns / area.clamp(min=1)
    seen = (area >= LEAST_PIXELS).float()
    t = torch.linspace(0, 1, frames, device=masks.device).expand_as(x)
    found = torch.stack([*_line(t, x, seen), *_line(t, y, seen)], dim=1).tolist()
    return [_motion(*numbers) for numbers in found]


def _motion(slope_x: float, wobble_x: float, slope_y: float, wobble_y: float) -> str:
    if abs(slope_y) > 0.2 and wobble_y < 0.05:
        return "rises" if slope_y < 0 else "falls"
    if wobble_y > 0.05 and wobble_y > wobble_x:
        return "bounces"
    if abs(slope_x) > 0.25 and wobble_x < 0.07:
        return "rolls right" if slope_x > 0 else "rolls left"
    return "swings" if wobble_x > 0.05 else "spins"


def _line(t: Tensor, place: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far a line through a track (n, f) goes over the clip, and how far the track strays from it."""
    total = weight.sum(1, keepdim=True).clamp(min=1)
    t = (t - (t * weight).sum(1, keepdim=True) / total) * weight
    place = (place - (place * weight).sum(1, keepdim=True) / total) * weight
    slope = (place * t).sum(1, keepdim=True) / (t**2).sum(1, keepdim=True).clamp(min=1e-6)
    stray = ((place - slope * t) ** 2).sum(1, keepdim=True) / total
    return slope[:, 0], stray.sqrt()[:, 0]


ATTRIBUTES = ("thing", "colour", "motion", "floor", "time")
"""What is scored: kinds of things, the set of colours, what each thing does, the floor's colour, the time of day."""


def score(seen: Sequence[Seen], scenes: Sequence[Scene]) -> dict[str, float]:
    """Return the share of scenes in which each attribute was seen as it was asked for."""
    rights: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for found, scene in zip(seen, scenes, strict=True):
        rights["thing"].append(all(found.things.get(group.colour) == group.thing for group in scene.groups))
        rights["colour"].append(set(found.motions) == {group.colour for group in scene.groups})
        rights["motion"].append(all(found.motions.get(group.colour) == group.motion for group in scene.groups))
        rights["floor"].append(found.floor == scene.floor)
        rights["time"].append(found.time == scene.time)
    return {name: sum(right) / len(right) for name, right in rights.items()}


def wrong_things(seen: Sequence[Seen], scenes: Sequence[Scene]) -> dict[str, int]:
    """Count the things that were not seen as what they are, by kind and motion: `star spins`."""
    pairs = [(found, group) for found, scene in zip(seen, scenes, strict=True) for group in scene.groups]
    wrong = Counter(
        f"{group.thing} {group.motion}" for found, group in pairs if found.things.get(group.colour) != group.thing
    )
    return dict(wrong.most_common())
