"""Captions of scenes: a grammar with synonyms, and the words that it can say."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.world import CAMERAS, COLOURS, FLOORS, MOTIONS, SIZES, THINGS, TIMES, WEATHERS, Group, Scene

SYNONYMS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "sphere"),
    "cube": ("cube", "box"),
    "ring": ("ring", "hoop"),
    "small": ("small", "little", "tiny"),
    "big": ("big", "large"),
    "medium": ("",),
    "grey": ("grey", "gray"),
    "purple": ("purple", "violet"),
    "bounces": ("bounces", "jumps", "jumps up and down"),
    "rolls left": ("rolls left", "moves left", "moves to the left"),
    "rolls right": ("rolls right", "moves right", "moves to the right"),
    "rises": ("rises", "floats up", "goes up"),
    "falls": ("falls", "drops", "sinks down"),
    "spins": ("spins", "turns", "rotates"),
    "swings": ("swings", "sways", "swings from side to side"),
    "dawn": ("at dawn", "at sunrise", "in the morning"),
    "noon": ("at noon", "by day", "in daylight"),
    "dusk": ("at dusk", "at sunset", "in the evening"),
    "night": ("at night", "at midnight", "under the moon"),
    "clear": ("",),
    "rain": ("in the rain", "while it rains"),
    "snow": ("in the snow", "while it snows"),
    "still": ("",),
    "pans left": ("the camera pans left",),
    "pans right": ("the camera pans right",),
    "zooms in": ("the camera zooms in", "slow zoom in"),
    "zooms out": ("the camera zooms out", "slow zoom out"),
}
ON_FLOOR = ("over a {} floor", "on a {} floor", "on {} ground")
NUMBERS = {1: ("a", "one"), 2: ("two",), 3: ("three",)}
UNKNOWN = "<unk>"
"""A word outside the vocabulary, as the tokenizer writes it; captions hold some, so that the model ignores them."""


def caption(scene: Scene, dice: random.Random, *, terse: bool = False) -> str:
    """Say in words what a scene shows.

    Args:
        scene: What to say.
        dice: Chooses synonyms and order.
        terse: Leave out floor and time of day now and then, so that short prompts are understood too.
    """
    subject = " and ".join(_phrase(group, dice) for group in scene.groups)
    floor = dice.choice(ON_FLOOR).format(_word(scene.floor, dice))
    time = _word(scene.time, dice)
    if terse:
        floor = "" if dice.random() < 0.08 else floor
        time = "" if dice.random() < 0.08 else time
    weather, camera = _word(scene.weather, dice), _word(scene.camera, dice)
    parts = [time, subject, floor, weather] if dice.random() < 0.15 else [subject, floor, time, weather]
    text = " ".join(part for part in parts if part)
    return f"{text}, {camera}" if camera else text


def blurred(text: str, dice: random.Random) -> str:
    """Return a caption as careless people write: with words among it that the vocabulary does not have."""
    said = text.replace(",", " ,").split()
    if dice.random() < 0.2:
        for _ in range(dice.randint(1, 4)):
            said.insert(dice.randint(0, len(said)), UNKNOWN)
    return " ".join(UNKNOWN if dice.random() < 0.01 else word for word in said)


def vocabulary() -> tuple[str, ...]:
    """Return every word that a caption can hold, sorted."""
    phrases: list[str] = [",", "and", *COLOURS]
    for names in (THINGS, COLOURS, FLOORS, SIZES, TIMES, WEATHERS, CAMERAS):
        phrases += [phrase for name in names for phrase in SYNONYMS.get(name, (name,))]
    for thing in THINGS:
        phrases += [_plural(noun) for noun in SYNONYMS.get(thing, (thing,))]
    for motion in MOTIONS:
        phrases += [form for verb in SYNONYMS[motion] for form in (verb, _many_do(verb))]
    phrases += [text.format("") for text in ON_FLOOR] + ["an"]
    phrases += [number for numbers in NUMBERS.values() for number in numbers]
    return tuple(sorted({word for phrase in phrases for word in phrase.replace(",", " ,").split()}))


def _word(name: str, dice: random.Random) -> str:
    return dice.choice(SYNONYMS.get(name, (name,)))


def _phrase(group: Group, dice: random.Random) -> str:
    count = len(group.places)
    noun, verb = _word(group.thing, dice), _word(group.motion, dice)
    described = " ".join(word for word in (_word(group.size, dice), _word(group.colour, dice)) if word)
    number = dice.choice(NUMBERS[count])
    if count > 1:
        return f"{number} {described} {_plural(noun)} {_many_do(verb)}"
    number = "an" if number == "a" and described[0] in "aeiou" else number
    return f"{number} {described} {noun} {verb}"


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("x") else f"{noun}s"


def _many_do(verb: str) -> str:
    """Return a verb of the third person in the plural: `bounces` becomes `bounce`, `goes up` `go up`."""
    first, *rest = verb.split(" ")
    first = first[:-2] if first == "goes" else first[:-1]
    return " ".join([first, *rest])


def caption_all(scenes: Sequence[Scene], seed: int, *, terse: bool) -> list[str]:
    """Caption scenes from one seed."""
    dice = random.Random(seed)  # noqa: S311 - a world, not a secret
    return [caption(scene, dice, terse=terse) for scene in scenes]
