from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.limits import MAX_PROMPT_CHARS, MAX_SEED
from reelmill_common.jobs import (
    RenderSpec,
)
from reelmill_common.profiles import PROFILES


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        pytest.param({"prompt": ""}, "prompt is empty", id="no prompt"),
        pytest.param({"prompt": " \n\t "}, "prompt is empty", id="only white space"),
        pytest.param(
            {"prompt": "x" * (MAX_PROMPT_CHARS + 1)}, "has 8193 characters; use at most 8192", id="endless prompt"
        ),
        pytest.param({"seed": -1}, "seed=-1 is out of range; use 0 to 9223372036854775807", id="negative seed"),
        pytest.param({"seed": MAX_SEED + 1}, "seed=9223372036854775808 is out of range", id="seed over 63 bits"),
        pytest.param({"frames": 82}, r"frames=82 is not 4k \+ 1; use 81$", id="between two legal lengths"),
        pytest.param({"frames": -3}, r"frames=-3 is not 4k \+ 1; use 33$", id="negative length"),
        pytest.param({"frames": 85}, "frames=85 is not on the menu of fastwan-qad-fp8 .*; use 81", id="off the menu"),
        pytest.param({"width": 833, "height": 480}, "width=833 is not a multiple of 16; use 832x480", id="odd width"),
        pytest.param({"width": 832}, "height=0 is not a multiple of 16; use 832x480", id="width without height"),
        pytest.param(
            {"width": 848, "height": 480}, "848x480 is not on the menu .*; use 832x480", id="size off the menu"
        ),
        pytest.param(
            {"width": 720, "height": 1280, "profile": "tiny"}, r"of tiny \(128x80, 80x128\); use 80x128", id="upright"
        ),
        pytest.param({"width": 1280, "height": 720, "profile": "tiny"}, "use 128x80$", id="wide"),
        pytest.param({"width": 608, "height": 704}, r"\(832x480, 480x832.*\); use 624x624$", id="nearly square"),
        pytest.param({"width": 16 * 10**400, "height": 16}, "use 832x448$", id="endless"),
        pytest.param({"fps": 121}, "fps=121 is out of range; use 1 to 120", id="too many frames a second"),
        pytest.param({"fps": -1}, "fps=-1 is out of range", id="negative rate"),
        pytest.param({"seed": 1.0}, "seed=1.0 is a float; use a whole number", id="seed as a float"),
        pytest.param({"seed": True}, "seed=True is a bool; use a whole number", id="seed as a bool"),
        pytest.param({"frames": 81.0}, "frames=81.0 is a float", id="length as a float"),
        pytest.param({"fps": 24.0}, "fps=24.0 is a float", id="rate as a float"),
        pytest.param({"width": 832.0, "height": 480}, "width=832.0 is a float", id="width as a float"),
        pytest.param({"sampler": "euler"}, "sampler='euler' is unknown; known are dmd3, unipc3", id="sampler"),
        pytest.param({"decoder": "fast"}, "decoder='fast' is unknown; known are tiny, wan", id="decoder"),
        pytest.param({"profile": "wan-14b"}, "profile='wan-14b' is unknown; known are", id="profile"),
    ],
)
def test_what_cannot_be_rendered_is_refused_with_what_can(change: dict[str, Any], advice: str) -> None:
    with pytest.raises(InvalidJob, match=advice):
        RenderSpec(**({"prompt": "a fox"} | change))


@given(
    profile=st.sampled_from(sorted(PROFILES)),
    frames=st.integers(-9, 200),
    width=st.integers(-9, 1300),
    height=st.integers(-9, 1300),
)
def test_what_is_advised_is_taken(profile: str, frames: int, width: int, height: int) -> None:
    for change in ({"frames": frames}, {"width": width, "height": height}):
        try:
            RenderSpec(prompt="a fox", profile=profile, **change)
        except InvalidJob as err:
            values = re.findall(r"\d+x\d+|\d+", str(err).rpartition("use ")[2])
            assert values
            for advised in values:
                sides = [int(side) for side in advised.split("x")]
                better = {"frames": sides[0]} if len(sides) == 1 else dict(zip(("width", "height"), sides, strict=True))
                RenderSpec(prompt="a fox", profile=profile, **better)


def test_control_characters_and_half_pairs_do_not_reach_the_tokenizer() -> None:
    for prompt in ("a \x07fox", "a \ud83e fox"):
        try:
            cleaned = RenderSpec(prompt=prompt).prompt
        except InvalidJob:
            continue
        assert all(ord(char) >= 32 and not 0xD800 <= ord(char) <= 0xDFFF for char in cleaned)
