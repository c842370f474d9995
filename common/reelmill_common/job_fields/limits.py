"""What each field of a job or batch may be; a refusal names the nearest value that is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from reelmill_common.errors import InvalidJob
from reelmill_common.profiles import PROFILES, Profile

DEFAULT_SEED = 1024
"""FastVideo's default seed (configs/sample/base.py), so equal prompts compare across tools."""
MAX_SEED = 2**63 - 1
"""Largest seed that `torch.Generator.manual_seed` takes on every platform."""
MAX_PROMPT_CHARS = 8192
"""512 tokens of at most 16 characters each: a longer prompt can never fit, whatever the tokenizer."""
LAST_TIME_S = 253_402_300_799
"""Last second of the year 9999, the last that `datetime` can show."""
SIZE_STEP = 16
"""Pixels: VAE stride 8 x patch 2."""

_UNPRINTABLE = re.compile("[\x00-\x1f\ud800-\udfff]")


def profile_named(name: str) -> Profile:
    """Return a profile by its name. Raises `InvalidJob`."""
    if name not in PROFILES:
        raise InvalidJob(f"profile={name!r} is unknown; known are {', '.join(PROFILES)}")
    return PROFILES[name]


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that is empty, too long, or not text. Raises `InvalidJob`."""
    if not prompt:
        raise InvalidJob("prompt is empty; give the text that the clip should show")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise InvalidJob(
            f"prompt has {len(prompt)} characters; use at most {MAX_PROMPT_CHARS} (512 tokens hold no more). "
            f"It would be cut after {prompt[MAX_PROMPT_CHARS - 40 : MAX_PROMPT_CHARS]!r}"
        )
    if _UNPRINTABLE.search(prompt):
        raise InvalidJob("prompt holds control characters or half of a surrogate pair; remove them")


def check_seed(seed: int) -> None:
    """Refuse a seed that torch does not take. Raises `InvalidJob`."""
    if seed == -1 and type(seed) is int:
        raise InvalidJob(
            f"seed=-1 is out of range; use 0 to {MAX_SEED}. Elsewhere it asks for a random one, which could not be "
            f"asked for again; leave it out for {DEFAULT_SEED}"
        )
    check_range("seed", seed, 0, MAX_SEED)


def check_frames(frames: int, profile: Profile) -> None:
    """Refuse a length that is not on the profile's menu. Raises `InvalidJob`."""
    check_whole("frames", frames)
    if frames < 1 or frames % 4 != 1:
        raise InvalidJob(f"frames={frames} is not 4k + 1; use {_nearest(frames, profile.lengths)}")
    if frames not in profile.lengths:
        nearest = min(profile.lengths, key=lambda length: abs(length - frames))
        menu = ", ".join(map(str, profile.lengths))
        raise InvalidJob(f"frames={frames} is not on the menu of {profile.name} ({menu}); use {nearest}")


def _nearest(wanted: int, menu: Sequence[int]) -> str:
    """Return the values of a menu around another value, so that only legal values are advised."""
    around = [*sorted(value for value in menu if value < wanted)[-1:], *[value for value in menu if value > wanted][:1]]
    return " or ".join(map(str, around))


def _nearest_size(width: int, height: int, profile: Profile) -> tuple[int, int]:
    """Return the size of the menu whose shape is nearest, then whose sides are; one side alone decides by itself."""
    given = [(place, value) for place, value in enumerate((width, height)) if value > 0]

    def distance(size: tuple[int, int]) -> tuple[float, int]:
        shape = _shape(width, height) - _shape(*size) if min(width, height) > 0 else 0.0
        return abs(shape), sum(abs(size[place] - value) for place, value in given)

    return min(profile.sizes, key=distance)


def _shape(width: int, height: int) -> float:
    return math.log(width) - math.log(height)  # a quotient of endless numbers does not fit a float


def check_size(width: int, height: int, profile: Profile) -> None:
    """Refuse a size that is not on the profile's menu. Raises `InvalidJob`."""
    for name, value in (("width", width), ("height", height)):
        check_whole(name, value)
        if value < SIZE_STEP or value % SIZE_STEP:
            width_, height_ = _nearest_size(width, height, profile)
            raise InvalidJob(f"{name}={value} is not a multiple of {SIZE_STEP}; use {width_}x{height_}")
    if (width, height) not in profile.sizes:
        nearest = _nearest_size(width, height, profile)
        menu = ", ".join(f"{w}x{h}" for w, h in profile.sizes)
        raise InvalidJob(
            f"{width}x{height} is not on the menu of {profile.name} ({menu}); use {nearest[0]}x{nearest[1]}"
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of a few. Raises `InvalidJob`."""
    if value not in choices:
        raise InvalidJob(f"{name}={value!r} is unknown; known are {', '.join(choices)}")


def check_whole(name: str, value: object) -> None:
    """Refuse what is not an `int`. Raises `InvalidJob`."""
    if type(value) is not int:  # nor a bool, which is an int in Python: the ledger would write what it cannot read
        raise InvalidJob(f"{name}={value!r} is a {type(value).__name__}; use a whole number")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a whole number that is out of range. Raises `InvalidJob`."""
    check_whole(name, value)
    if not low <= value <= high:
        raise InvalidJob(f"{name}={value} is out of range; use {low} to {high}")


def check_budget(text: str) -> None:
    """Refuse what is neither a number nor a share of failures. Raises `InvalidJob`."""
    if not text:
        return
    number = re.fullmatch(r"([1-9][0-9]{0,6})|([1-9][0-9]?|100)%", text)
    if number is None:
        raise InvalidJob(
            f"max_failures={text[:40]!r} is not a valid budget; use a number such as 10, or a share of 1% to 100%"
        )


def check_times(start: float, expires: float, finish_by: float) -> None:
    """Refuse times that `datetime` cannot show, or between which nothing could start. Raises `InvalidJob`."""
    for name, time in (("start_after", start), ("expires_at", expires), ("finish_by", finish_by)):
        if not 0 <= time <= LAST_TIME_S:
            raise InvalidJob(f"{name}={time} is out of range; use Unix seconds, 0 to {LAST_TIME_S}")
    if start and expires and expires <= start:
        raise InvalidJob(f"expires_at={expires} is not after start_after={start}; nothing could ever start")
    if start and finish_by and finish_by <= start:
        raise InvalidJob(f"finish_by={finish_by} is not after start_after={start}; nothing could be done by then")
