"""The world that the tiny model knows: scenes as data, drawn at random from a seed. It knows no pixels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""

THINGS = ("ball", "cube", "cone", "ring", "star")
COLOURS: dict[str, Colour] = {
    "red": (0.86, 0.10, 0.10),
    "orange": (0.97, 0.50, 0.06),
    "yellow": (0.97, 0.87, 0.12),
    "green": (0.12, 0.68, 0.22),
    "blue": (0.10, 0.26, 0.88),
    "purple": (0.50, 0.14, 0.74),
    "pink": (0.98, 0.46, 0.72),
}
FLOORS: dict[str, Colour] = {
    "grey": (0.50, 0.50, 0.52),
    "brown": (0.48, 0.34, 0.22),
    "green": (0.30, 0.50, 0.28),
    "blue": (0.24, 0.36, 0.62),
    "red": (0.58, 0.24, 0.22),
    "white": (0.88, 0.89, 0.91),
}
SIZES = {"small": 0.15, "medium": 0.19, "big": 0.24}
"""Radius of a thing in picture heights."""
MOTIONS = ("bounces", "rolls left", "rolls right", "rises", "falls", "spins", "swings")
WEATHERS = ("clear", "rain", "snow")
CAMERAS = ("still", "pans left", "pans right", "zooms in", "zooms out")

HELD_OUT = frozenset({("ball", "purple"), ("cube", "orange"), ("cone", "blue"), ("ring", "green"), ("star", "red")})
"""Pairs of thing and colour that no training clip shows: what is right about them was composed, not remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daylight:
    """What a time of day looks like.

    Attributes:
        top: The sky at the upper edge.
        bottom: The sky at the horizon.
        light: Factor on the floor; things take 65 % of its tint.
        sun: Colour of the sun, or of the moon.
        height: Where the sun stands, 0 at the horizon to 1 at the upper edge.
    """

    top: Colour
    bottom: Colour
    light: Colour
    sun: Colour
    height: float


TIMES: dict[str, Daylight] = {
    "dawn": Daylight(
        top=(0.50, 0.60, 0.82), bottom=(0.99, 0.82, 0.72), light=(1.0, 0.92, 0.88), sun=(1.0, 0.94, 0.76), height=0.24
    ),
    "noon": Daylight(
        top=(0.34, 0.62, 0.96), bottom=(0.80, 0.92, 1.0), light=(1.0, 1.0, 1.0), sun=(1.0, 0.99, 0.90), height=0.78
    ),
    "dusk": Daylight(
        top=(0.27, 0.19, 0.42), bottom=(0.94, 0.55, 0.36), light=(0.88, 0.72, 0.68), sun=(1.0, 0.84, 0.58), height=0.22
    ),
    "night": Daylight(
        top=(0.03, 0.04, 0.12), bottom=(0.10, 0.14, 0.30), light=(0.50, 0.56, 0.76), sun=(0.93, 0.94, 1.0), height=0.72
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One to three equal things that do the same.

    Attributes:
        thing: One of THINGS.
        colour: One of COLOURS.
        size: One of SIZES.
        motion: One of MOTIONS.
        places: x of each thing at mid-clip, 0 to 1 across the picture; their number is the count.
        phase: Where the motion starts, 0 to 1.
    """

    thing: str
    colour: str
    size: str
    motion: str
    places: tuple[float, ...]
    phase: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that decides a clip's pixels.

    Attributes:
        groups: One group, or two of one thing each with different colours.
        pattern: What is on the floor: 0 plain, 1 checkered, 2 striped.
        sun_x: Place of the sun, 0 to 1 across the picture.
        ground: Where the first group touches the floor, 0 to 1 from the picture's top.
        noise: Decides hills, stars, rain and snow; 0 to 1.
    """

    groups: tuple[Group, ...]
    floor: str
    time: str
    weather: str
    camera: str
    pattern: int
    sun_x: float
    ground: float
    noise: float

    @property
    def held_out(self) -> bool:
        """Whether a pair of thing and colour is one that training never shows."""
        return any((group.thing, group.colour) in HELD_OUT for group in self.groups)


def draw_scenes(number: int, seed: int, *, held_out: bool = False) -> list[Scene]:
    """Draw scenes from a seed: all without held-out pairs, or all with one."""
    dice = random.Random(seed)  # noqa: S311 - a world, not a secret
    scenes: list[Scene] = []
    while len(scenes) < number:
        scene = _draw(dice, held_out=held_out)
        if scene.held_out == held_out and not _camouflaged(scene):
            scenes.append(scene)
    return scenes


def _camouflaged(scene: Scene) -> bool:
    """Whether a thing has the floor's colour: what nobody can see, nobody can check."""
    return any(group.colour == scene.floor for group in scene.groups)


def _draw(dice: random.Random, *, held_out: bool) -> Scene:
    kind = dice.choices(("single", "several", "pair"), (0.74, 0.16, 0.10))[0]
    if kind == "pair":
        colours = dice.sample(list(COLOURS), 2)
        slots = zip(_slots(dice, 2), colours, strict=True)
        groups = tuple(_group(dice, (place,), colour, things=2) for place, colour in slots)
    else:
        places = (dice.uniform(0.38, 0.62),) if kind == "single" else _slots(dice, dice.choice((2, 3)))
        groups = (_group(dice, places, dice.choice(list(COLOURS)), things=len(places)),)
    if held_out:
        thing, colour = dice.choice(sorted(HELD_OUT))
        first = replace(groups[0], thing=thing, colour=colour)
        groups = (first, *(group for group in groups[1:] if group.colour != colour))
    return Scene(
        groups=groups,
        floor=dice.choice(list(FLOORS)),
        time=dice.choice(list(TIMES)),
        weather=dice.choices(WEATHERS, (0.84, 0.08, 0.08))[0],
        camera=dice.choices(CAMERAS, (0.84, 0.04, 0.04, 0.04, 0.04))[0],
        pattern=dice.choice((0, 1, 2)),
        sun_x=dice.uniform(0.1, 0.9),
        ground=dice.uniform(0.80, 0.88),
        noise=dice.random(),
    )


def _slots(dice: random.Random, number: int) -> tuple[float, ...]:
    slots = (0.29, 0.71) if number == 2 else (0.23, 0.5, 0.77)
    return tuple(slot + dice.uniform(-0.015, 0.015) for slot in slots)


def _group(dice: random.Random, places: Sequence[float], colour: str, *, things: int) -> Group:
    return Group(
        thing=dice.choice(THINGS),
        colour=colour,
        size=dice.choice(list(SIZES)[: 4 - things]),  # what stands beside others does not touch them
        motion=dice.choice(MOTIONS),
        places=tuple(places),
        phase=dice.random(),
    )
