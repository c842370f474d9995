"""Tags of a clip as other programs read them: mutagen, FFmpeg, and our own reader without either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from mutagen.mp4 import MP4

from reelmill_producer.outputs.mp4_tags import read_tags
from reelmill_worker.delivery import video
from reelmill_worker.delivery.video import Planes

PROMPT = "a red fox, der Fuchs läuft; 雪の中の狐 🦊"


@pytest.fixture(scope="module")
def planes() -> Planes:
    return np.random.default_rng(0).integers(0, 255, (5, 96, 96), dtype=np.uint8)


def recipe(prompt: str) -> dict[str, Any]:
    return {"spec": {"prompt": prompt, "seed": 42, "sampler": "dmd3"}, "model_hash": "ab12", "job": {"job_id": "1f0a"}}


@pytest.mark.parametrize("prompt", [PROMPT, PROMPT * 200, "", "x"], ids=["short", "long", "empty", "one letter"])
def test_an_independent_reader_finds_title_comment_and_tags(planes: Planes, tmp_path: Path, prompt: str) -> None:
    video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe=recipe(prompt))

    tags = MP4(tmp_path / "clip.mp4").tags

    assert json.loads(tags["\xa9cmt"][0]) == recipe(prompt)
    assert tags.get("desc", [""])[0] == prompt
    assert prompt.startswith(tags.get("\xa9nam", [""])[0])
    assert tags["\xa9too"] == ["Reelmill"]
    assert bytes(tags["----:com.apple.iTunes:seed"][0]) == b"42"


def test_all_readers_say_the_same(planes: Planes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    video.write_clip(planes, path, fps=16, recipe=recipe(PROMPT))

    ours = dict(read_tags(path.read_bytes()[:1_000_000]))
    ffmpeg = video.probe(path).tags

    assert {name: ffmpeg[name] for name in ours} == ours
    assert ours.keys() >= {"title", "description", "comment", "prompt", "seed", "sampler", "model_hash", "job_id"}


def test_tags_move_nothing_else_of_the_file(planes: Planes, tmp_path: Path) -> None:
    for name, prompt in (("a", "short"), ("b", PROMPT * 100)):
        video.write_clip(planes, tmp_path / f"{name}.mp4", fps=16, recipe=recipe(prompt))

    assert np.array_equal(video.read_frames(tmp_path / "a.mp4"), video.read_frames(tmp_path / "b.mp4"))
    assert video.probe(tmp_path / "b.mp4").index_first
    assert video.probe(tmp_path / "b.mp4").frames == 5


def test_clips_of_before_can_still_be_read(planes: Planes, tmp_path: Path) -> None:
    path = tmp_path / "old.mp4"
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart+use_metadata_tags"}) as container:
        container.metadata.update({"comment": json.dumps(recipe(PROMPT)), "seed": "42"})
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in planes:
            container.mux(stream.encode(video.as_video_frame(picture)))
        container.mux(stream.encode(None))

    tags = read_tags(path.read_bytes())

    assert (json.loads(tags["comment"]), tags["seed"]) == (recipe(PROMPT), "42")
    assert video.read_recipe(path) == recipe(PROMPT)
