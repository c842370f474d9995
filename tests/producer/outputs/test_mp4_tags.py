"""The tags of an MP4, whole, cut or changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from reelmill_common.errors import NotFound
from reelmill_producer.outputs.mp4_tags import read_tags
from reelmill_worker.delivery.video import write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_clip(np.full((5, 120, 128), 90, np.uint8), path, fps=16, recipe={"schema_version": 1, "spec": {"seed": 42}})
    return path


def test_the_recipe_is_in_the_comment(clip: Path) -> None:
    assert json.loads(read_tags(clip.read_bytes())["comment"])["spec"] == {"seed": 42}


def test_a_cut_or_changed_clip_is_read_or_refused(clip: Path) -> None:
    whole = clip.read_bytes()[:6000]
    generator = np.random.default_rng(7)
    refused: list[NotFound] = []
    read: list[Mapping[str, str]] = []

    for _ in range(400):
        spoilt = bytearray(whole[: generator.integers(1, len(whole))])
        for place in generator.integers(0, len(spoilt), 8):
            spoilt[place] = generator.integers(0, 256)
        try:
            read.append(read_tags(bytes(spoilt)))
        except NotFound as err:
            refused.append(err)

    assert refused
    assert all("its index in front" in str(err) for err in refused)
    assert any("comment" in tags for tags in read)
