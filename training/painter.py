"""From scenes to frames: every pixel by formula, on any device, so that a clip can be made where it is needed.

Letters: b clips, n things, f frames, h and w pixels. Places are in picture heights: x to the right from 0 to w / h, y
downwards from 0 to 1. Time runs from 0 to 1 over 81 frames. Shapes are signed distances in the thing's radius.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from training.world import CAMERAS, COLOURS, FLOORS, MOTIONS, SIZES, THINGS, TIMES, WEATHERS, Group, Scene

HORIZON = 0.56
FRAMES = 81
MOST_THINGS = 3
HILL = (0.20, 0.30, 0.26)
SUN_RADIUS = 0.055
PAN = 0.22
ZOOM = 0.35
LIFT = 0.30
"""Height of a bounce."""
CLIMB = 0.36
"""How far a thing rises or falls."""
BOUNCES = 3.0
TURNS = 1.0
SWINGS = 2.0
BAND = 0.17
"""Half the width of the dark band that shows how a ball turns."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneTensors:
    """Scenes as the painter reads them, float32.

    Attributes:
        on: (b, n), 1 where there is a thing. The next seven are of things too; colours are (b, n, 3).
        travel: How far a rolling thing goes.
        ground: Where the thing touches the floor.
        floor: (b, 3); the other colours too, and the rest is (b,).
    """

    on: Tensor
    thing: Tensor
    colour: Tensor
    radius: Tensor
    motion: Tensor
    place: Tensor
    phase: Tensor
    travel: Tensor
    ground: Tensor
    floor: Tensor
    top: Tensor
    bottom: Tensor
    light: Tensor
    sun: Tensor
    height: Tensor
    night: Tensor
    weather: Tensor
    camera: Tensor
    pattern: Tensor
    sun_x: Tensor
    noise: Tensor

    def rows(self, start: int, stop: int) -> SceneTensors:
        """Return some of the clips."""
        return SceneTensors(*(getattr(self, field.name)[start:stop] for field in fields(self)))


def pack(scenes: Sequence[Scene], device: str, *, aspect: float = 1.6) -> SceneTensors:
    """Turn scenes into tensors on a device, for pictures of a width over height."""
    things = [_things(scene, aspect) for scene in scenes]
    days = [TIMES[scene.time] for scene in scenes]

    def column(values: Sequence[object]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).to(device)

    def thing_column(key: int) -> Tensor:
        return column([[row[key] for row in rows] for rows in things])

    return SceneTensors(
        *(thing_column(key) for key in range(9)),
        floor=column([FLOORS[scene.floor] for scene in scenes]),
        top=column([day.top for day in days]),
        bottom=column([day.bottom for day in days]),
        light=column([day.light for day in days]),
        sun=column([day.sun for day in days]),
        height=column([day.height for day in days]),
        night=column([scene.time == "night" for scene in scenes]),
        weather=column([WEATHERS.index(scene.weather) for scene in scenes]),
        camera=column([CAMERAS.index(scene.camera) for scene in scenes]),
        pattern=column([scene.pattern for scene in scenes]),
        sun_x=column([scene.sun_x for scene in scenes]),
        noise=column([scene.noise for scene in scenes]),
    )


_Row = tuple[float, float, tuple[float, float, float], float, float, float, float, float, float]
_NOTHING: _Row = (0.0, 0.0, (0.0, 0.0, 0.0), 0.1, 0.0, 0.5, 0.0, 0.0, 0.8)


def _things(scene: Scene, aspect: float) -> list[_Row]:
    """Return a row for each of MOST_THINGS: on, thing, colour, radius, motion, place, phase, travel, ground."""
    groups = [(group, index) for group in scene.groups for index in range(len(group.places))]
    wide = aspect >= 1
    travel = {1: 0.75, 2: 0.55}.get(len(groups), 0.5) * (1.0 if wide else 0.5)
    rows = [_thing(group, index, scene.ground, travel, 1.0 if wide else 0.8) for group, index in groups]
    return rows + [_NOTHING] * (MOST_THINGS - len(rows))


def _thing(group: Group, index: int, ground: float, travel: float, scale: float) -> _Row:
    return (
        1.0,
        float(THINGS.index(group.thing)),
        COLOURS[group.colour],
        SIZES[group.size] * scale,
        float(MOTIONS.index(group.motion)),
        group.places[index],
        group.phase,
        travel,
        ground,
    )


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Where each pixel looks.

    Attributes:
        x, y: Place in the world as the camera sees it, (b, f, 1, w) and (b, f, h, 1).
        screen_x, screen_y: Place in the picture.
        t: Time, (1, f, 1, 1).
        pan: How far the camera has gone, (b, f, 1, 1).
        pixel: Size of a pixel.
        aspect: Width over height.
    """

    x: Tensor
    y: Tensor
    screen_x: Tensor
    screen_y: Tensor
    t: Tensor
    pan: Tensor
    pixel: float
    aspect: float


def paint(scenes: SceneTensors, *, frames: int = FRAMES, height: int = 80, width: int = 128, things: int = 3) -> Tensor:
    """Paint clips: (b, f, 3, h, w) float32, 0 to 1.

    Args:
        scenes: What to paint.
        frames: Length; shorter clips are the beginnings of longer ones.
        height: Pixels.
        width: Pixels.
        things: How many things to paint at most; fewer cost less.
    """
    view = _look(scenes, frames, height, width)
    picture = _sky(scenes, view)
    picture = _hills(scenes, view, picture)
    picture = _floor(scenes, view, picture)
    for index in range(things):
        picture = _paint_thing(scenes, index, view, picture)
    return _weather(scenes, view, picture).clamp(0, 1)


def _look(scenes: SceneTensors, frames: int, height: int, width: int) -> View:
    device = scenes.on.device
    t = (torch.arange(frames, device=device) / (FRAMES - 1)).view(1, frames, 1, 1)
    y = ((torch.arange(height, device=device) + 0.5) / height).view(1, 1, height, 1)
    x = ((torch.arange(width, device=device) + 0.5) / height).view(1, 1, 1, width)
    aspect = width / height
    camera = _each(scenes.camera)
    pan = ((camera == 2).float() - (camera == 1).float()) * PAN * (t - 0.5)
    zoom = 1 + ZOOM * ((camera == 3).float() * t + (camera == 4).float() * (1 - t))
    return View(
        x=(x - aspect / 2) / zoom + aspect / 2 + pan,
        y=(y - HORIZON) / zoom + HORIZON,
        screen_x=x,
        screen_y=y,
        t=t,
        pan=pan,
        pixel=1 / height,
        aspect=aspect,
    )


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)  # (b,) to (b, f, h, w)


def _tint(colour: Tensor) -> Tensor:
    return colour.view(-1, 1, 3, 1, 1)  # (b, 3) to (b, f, c, h, w)


def _over(picture: Tensor, colour: Tensor, share: Tensor) -> Tensor:
    """Lay a colour over a picture; share (b, f, h, w), 0 to 1."""
    return picture + (colour - picture) * share.unsqueeze(2)


def _step(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """Go smoothly from 0 at `low` to 1 at `high`."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _fraction(x: Tensor) -> Tensor:
    return x - x.floor()


def _scatter(x: Tensor) -> Tensor:
    """Return numbers from 0 to 1 that look random; equal for equal inputs."""
    return _fraction(torch.sin(x) * 437.585453)


def _sky(scenes: SceneTensors, view: View) -> Tensor:
    share = ((view.y / HORIZON).clamp(0, 1) ** 1.4).unsqueeze(2)
    picture = _tint(scenes.top) * (1 - share) + _tint(scenes.bottom) * share
    far = view.pan * 0.7  # the sun is far away: it follows the camera most of the way
    away_x = view.x - _each(scenes.sun_x) * view.aspect - far
    away_y = view.y - HORIZON * (1 - _each(scenes.height))
    distance = (away_x**2 + away_y**2).sqrt()
    sun = _tint(scenes.sun)
    picture = _over(picture, sun, torch.exp(-(distance**2) / 0.02) * 0.35 * (1 - 0.6 * _each(scenes.night)))
    picture = _over(picture, sun, _step(SUN_RADIUS + view.pixel, SUN_RADIUS - view.pixel, distance))
    return _over(picture, sun, _stars(scenes, view))


def _stars(scenes: SceneTensors, view: View) -> Tensor:
    cell = 0.2
    column, row = (view.x / cell).floor(), (view.y / cell).floor()
    chance = _scatter(column * 12.99 + row * 78.23 + _each(scenes.noise) * 50)
    x = (column + 0.25 + 0.5 * _scatter(chance * 91.7)) * cell
    y = (row + 0.25 + 0.5 * _scatter(chance * 37.1)) * cell
    distance = ((view.x - x) ** 2 + (view.y - y) ** 2).sqrt()
    light = (chance > 0.6).float() * _step(0.022, 0.006, distance) * _step(HORIZON - 0.12, HORIZON - 0.2, view.y)
    return light * _each(scenes.night) * 0.7


def _hills(scenes: SceneTensors, view: View, picture: Tensor) -> Tensor:
    noise = _each(scenes.noise) * 6.28
    x = view.x - view.pan * 0.6
    ridge = HORIZON - 0.06 + 0.03 * torch.sin(x * 2.3 + noise) + 0.012 * torch.sin(x * 5.9 + noise * 3)
    dark = torch.tensor(HILL, device=picture.device).view(1, 1, 3, 1, 1)
    hill = _tint(scenes.bottom) * 0.35 + dark * _tint(scenes.light) * 0.65
    return _over(picture, hill, _step(-view.pixel, view.pixel, view.y - ridge))


def _floor(scenes: SceneTensors, view: View, picture: Tensor) -> Tensor:
    depth = 0.30 / (view.y - HORIZON).clamp(min=0.012)
    across = (view.x - view.aspect / 2) * depth
    columns = (across * 1.3 + 100.0).floor()
    checkers = (columns + (depth * 1.3).floor()) % 2
    pattern = _each(scenes.pattern)
    dark = (pattern == 1).float() * checkers + (pattern == 2).float() * (columns % 2)
    near = _step(4.0, 1.5, depth)
    shade = (1 - 0.14 * dark * near) * (0.80 + 0.30 * ((view.y - HORIZON) / (1 - HORIZON)).clamp(0, 1))
    floor = _tint(scenes.floor) * _tint(scenes.light) * shade.unsqueeze(2)
    floor = _over(floor, _tint(scenes.bottom) * 0.9, _step(0.08, 0.0, view.y - HORIZON) * 0.4)
    return _over(picture, floor, _step(-view.pixel, view.pixel, view.y - HORIZON))


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Where a thing is in each frame: (b, f, 1, 1) each."""

    x: Tensor
    lift: Tensor
    angle: Tensor


def _pose(scenes: SceneTensors, index: int, view: View) -> Pose:
    motion, phase = _each(scenes.motion[:, index]), _each(scenes.phase[:, index])
    radius, travel = _each(scenes.radius[:, index]), _each(scenes.travel[:, index])
    t = view.t

    def does(name: str) -> Tensor:
        return (motion == MOTIONS.index(name)).float()

    hop = _fraction(t * BOUNCES + phase)
    way = (does("rolls right") - does("rolls left")) * (t - 0.5) * travel
    swing = torch.sin(2 * math.pi * (t * SWINGS + phase)) * does("swings")
    return Pose(
        x=_each(scenes.place[:, index]) * view.aspect + way + 0.15 * swing,
        lift=does("bounces") * LIFT * 4 * hop * (1 - hop) + CLIMB * (does("rises") * t + does("falls") * (1 - t)),
        angle=way / radius + does("spins") * (t + phase) * TURNS * 2 * math.pi + 0.4 * swing,
    )


def _paint_thing(scenes: SceneTensors, index: int, view: View, picture: Tensor) -> Tensor:
    on, radius = _each(scenes.on[:, index]), _each(scenes.radius[:, index])
    ground = _each(scenes.ground[:, index])
    pose = _pose(scenes, index, view)
    x, y = (view.x - pose.x) / radius, (view.y - (ground - radius - pose.lift)) / radius
    # Its shadow on the floor: smaller and lighter the higher the thing is.
    spread = (x / 1.15) ** 2 + ((view.y - ground) / radius / 0.28) ** 2
    shadow = torch.exp(-spread * 1.2) * 0.5 / (1 + 5 * pose.lift) * on
    picture = picture * (1 - (shadow * _step(-view.pixel, view.pixel, view.y - HORIZON)).unsqueeze(2))
    cos, sin = torch.cos(pose.angle), torch.sin(pose.angle)
    turned_x, turned_y = cos * x + sin * y, cos * y - sin * x
    kind = _each(scenes.thing[:, index])
    edge = view.pixel / radius
    distance, shade = _shapes(kind, (x, y), (turned_x, turned_y), edge)
    colour = scenes.colour[:, index].view(-1, 1, 3, 1, 1) * (0.35 + 0.65 * _tint(scenes.light))
    gloss = torch.exp(-((x + 0.38) ** 2 + (y + 0.42) ** 2) / 0.03) * 0.6 * (kind == 0).float()
    return _over(picture, colour * shade.unsqueeze(2) + gloss.unsqueeze(2), _step(edge, -edge, distance) * on)


Place = tuple[Tensor, Tensor]


def _shapes(kind: Tensor, place: Place, turned: Place, edge: Tensor) -> tuple[Tensor, Tensor]:
    """Return distance and shade of the kind of thing that each clip has: (b, f, h, w) each."""
    drawn = [shape(place, turned, edge) for shape in SHAPES]
    distance, shade = drawn[0]
    for number, (other, light) in enumerate(drawn[1:], start=1):
        distance, shade = torch.where(kind == number, other, distance), torch.where(kind == number, light, shade)
    return distance, shade


def ball(place: Place, turned: Place, edge: Tensor) -> tuple[Tensor, Tensor]:
    """A lit sphere with a dark band."""
    x, y = place
    reach = x * x + y * y
    depth = (1 - reach).clamp(min=0).sqrt()
    light = (-0.45 * x - 0.62 * y + 0.64 * depth).clamp(0, 1)
    band = 1 - 0.3 * _step(edge, -edge, turned[0].abs() - BAND)
    return reach.clamp(min=1e-6).sqrt() - 1, (0.55 + 0.55 * light) * band


def cube(place: Place, turned: Place, edge: Tensor) -> tuple[Tensor, Tensor]:
    """A box with a light top and a dark side."""
    del place
    x, y = turned
    shade = 0.86 + 0.22 * _step(edge, -edge, y + 0.42) - 0.26 * _step(-edge, edge, x - 0.42)
    return torch.maximum(x.abs(), y.abs()) - 0.82, shade


def cone(place: Place, turned: Place, edge: Tensor) -> tuple[Tensor, Tensor]:
    """A triangle that is dark towards its right."""
    del place, edge
    x, y = turned
    distance = torch.maximum((x.abs() * 1.85 - (y + 1) * 0.85) / 2.036, y - 0.85)
    return distance, 0.64 + 0.48 * _step(0.7, -0.8, x / (0.5 * (y + 1)).clamp(min=0.15))


def ring(place: Place, turned: Place, edge: Tensor) -> tuple[Tensor, Tensor]:
    """A ring with a dark part that shows how it turns."""
    x, y = turned
    reach = (x * x + y * y).clamp(min=1e-6).sqrt()
    mark = _step(-edge, edge, x) * _step(edge, -edge, y.abs() - 0.3)
    return (reach - 0.74).abs() - 0.23, 0.78 + 0.3 * _step(0.6, -0.6, place[1]) - 0.26 * mark


def star(place: Place, turned: Place, edge: Tensor) -> tuple[Tensor, Tensor]:
    """A star of five points."""
    del edge
    x, y = turned
    wedge = 2 * math.pi / 5
    angle = ((torch.atan2(x, -y) + wedge / 2) % wedge - wedge / 2).abs()
    reach = (x * x + y * y).clamp(min=1e-6).sqrt() * 0.92
    inner_x, inner_y = 0.44 * math.cos(wedge / 2), 0.44 * math.sin(wedge / 2)
    norm = math.hypot(inner_y, 1 - inner_x)
    distance = ((reach * torch.cos(angle) - 1) * inner_y + reach * torch.sin(angle) * (1 - inner_x)) / norm
    return distance, 0.86 + 0.24 * _step(0.9, -0.9, place[1])


Shape = Callable[[Place, Place, Tensor], tuple[Tensor, Tensor]]
SHAPES: tuple[Shape, ...] = (ball, cube, cone, ring, star)
"""In the order of THINGS. Each takes a pixel's place in radii, the place turned with the thing, and a pixel's size."""


def _weather(scenes: SceneTensors, view: View, picture: Tensor) -> Tensor:
    weather, noise = _each(scenes.weather), _each(scenes.noise) * 50
    x, y, t = view.screen_x, view.screen_y, view.t
    lane = (x + 0.18 * y) / 0.16
    number = lane.floor()
    chance = _scatter(number * 17.3 + noise)
    fall = _fraction(y * 0.9 - t * 6 + chance * 7)
    streak = _step(0.22, 0.05, (_fraction(lane) - 0.5).abs()) * _step(0, 0.08, fall) * _step(0.35, 0.12, fall)
    picture = _over(picture, torch.ones_like(picture[:, :, :, :1, :1]), (weather == 1).float() * streak * 0.35)
    cell = 0.24
    column = ((x + 0.02 * torch.sin(t * 9)) / cell).floor()
    drop = (y - t * 0.9) / cell + _scatter(column * 7.7 + noise) * 5
    row = drop.floor()
    chance = _scatter(column * 3.1 + row * 5.7 + noise)
    away_x = _fraction((x + 0.02 * torch.sin(t * 9)) / cell) - 0.3 - 0.4 * chance
    away_y = _fraction(drop) - 0.5
    flake = _step(0.16, 0.07, (away_x**2 + away_y**2).sqrt()) * (chance > 0.4).float()
    return _over(picture, torch.ones_like(picture[:, :, :, :1, :1]), (weather == 2).float() * flake * 0.8)
