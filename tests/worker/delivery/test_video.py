import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from reelmill_common.errors import InvalidSettings, NotFound, RenderFailed
from reelmill_common.jobs import RenderSpec
from reelmill_common.recipe import JobOrigin, Recipe, versions
from reelmill_worker.delivery import video
from reelmill_worker.delivery.encoders import Encoder
from reelmill_worker.delivery.video import Planes
from reelmill_worker.pipeline.yuv import to_yuv420

PROMPT = 'A fox, "狐", trots & sniffs'
FOX, GRASS = (200, 90, 30), (10, 160, 40)


@pytest.fixture
def planes() -> Planes:
    """17 frames of 128x80: a fox-coloured square that walks over grass."""
    pictures = np.empty((17, 80, 128, 3), np.uint8)
    pictures[:] = GRASS
    for index in range(17):
        pictures[index, 24:56, 16 + 4 * index : 48 + 4 * index] = FOX
    return to_yuv420(torch.from_numpy(pictures)).numpy()


@pytest.fixture
def recipe() -> dict[str, Any]:
    spec = RenderSpec(prompt=PROMPT, seed=42, profile="tiny", frames=17)
    job = JobOrigin(job_id="1f0a", batch="night", row="fox", attempt=1, worker="cpu0@a")
    return Recipe(job=job, spec=spec, model_hash="ab12", versions=versions(), latents_sha256="cd" * 32).document()


def test_a_clip_has_its_frames_at_its_rate_in_bt709_and_plays_while_it_loads(
    planes: Planes, recipe: dict[str, Any], tmp_path: Path
) -> None:
    video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe=recipe)

    probe = video.probe(tmp_path / "clip.mp4")

    assert (probe.frames, probe.fps, probe.width, probe.height) == (17, Fraction(16), 128, 80)
    assert (probe.codec, probe.pixel_format) == ("h264", "yuv420p")
    assert probe.colours == (1, 1, 1, 1)
    assert probe.index_first


def test_the_recipe_and_its_tags_can_be_read_back(planes: Planes, recipe: dict[str, Any], tmp_path: Path) -> None:
    video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe=recipe)

    tags = video.probe(tmp_path / "clip.mp4").tags

    assert video.read_recipe(tmp_path / "clip.mp4") == recipe
    assert tags["prompt"] == recipe["spec"]["prompt"]
    assert (tags["seed"], tags["sampler"], tags["model_hash"], tags["job_id"]) == ("42", "dmd3", "ab12", "1f0a")


def test_colours_survive_within_what_8_bit_video_allows(planes: Planes, recipe: dict[str, Any], tmp_path: Path) -> None:
    video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe=recipe, encoder=Encoder(crf=1))

    decoded = video.read_frames(tmp_path / "clip.mp4")

    assert decoded.shape == (17, 80, 128, 3)
    # Two steps of 255 each for limited range and for the encoder; the wrong matrix would miss by 10 and more.
    assert np.abs(decoded[8, 40, 64].astype(int) - FOX).max() <= 4
    assert np.abs(decoded[8, 8, 8].astype(int) - GRASS).max() <= 4


def test_equal_planes_give_equal_bytes(planes: Planes, recipe: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        video.write_clip(planes, tmp_path / name, fps=16, recipe=recipe, encoder=Encoder(threads=1))

    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(("codec", "name"), [("libx265", "hevc"), ("libsvtav1", "av1")])
def test_other_encoders_take_the_same_options(
    codec: str, name: str, planes: Planes, recipe: dict[str, Any], tmp_path: Path
) -> None:
    video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe=recipe, encoder=Encoder(codec=codec))

    probe = video.probe(tmp_path / "clip.mp4")
    assert (probe.codec, probe.frames, probe.colours) == (name, 17, (1, 1, 1, 1))
    assert {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()} == {os.SCHED_OTHER}


@pytest.mark.parametrize(
    ("codec", "preset"),
    [
        pytest.param("libx264", "warp", id="a preset that the encoder does not know"),
        pytest.param("libnope", "veryfast", id="an encoder that is not in the library"),
    ],
)
def test_an_encoder_that_refuses_is_a_setting_to_change(
    codec: str, preset: str, planes: Planes, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSettings, match="set REELMILL_VIDEO_CODEC=libx264"):
        video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe={}, encoder=Encoder(codec=codec, preset=preset))


def test_a_missing_folder_is_a_failure_of_the_disk_and_not_of_the_settings(planes: Planes, tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match="look at the disk"):
        video.write_clip(planes, tmp_path / "absent" / "clip.mp4", fps=16, recipe={})


@pytest.mark.parametrize("content", [b"", b"not a video at all"])
def test_what_is_no_video_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)

    with pytest.raises(NotFound, match="cannot be read as a video"):
        video.probe(tmp_path / "clip.mp4")


def test_a_clip_from_elsewhere_has_no_recipe(planes: Planes, tmp_path: Path) -> None:
    video.write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe={})
    with av.open(str(tmp_path / "clip.mp4")) as source, av.open(str(tmp_path / "plain.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)

    with pytest.raises(NotFound, match="has no recipe"):
        video.read_recipe(tmp_path / "plain.mp4")
