"""Which encoder a worker takes, and how it is asked."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from reelmill_common.settings import Settings
from reelmill_worker.delivery.encoders import Encoder, encoder_of, problem_with
from reelmill_worker.host.supervisor import encoder_threads


@pytest.mark.parametrize(
    ("codec", "preset", "expected"),
    [
        ("libx264", "veryfast", {"preset": "veryfast", "crf": "18"}),
        ("libsvtav1", "veryfast", {"preset": "10", "crf": "18"}),
        ("libsvtav1", "8", {"preset": "8", "crf": "18"}),
        ("h264_nvenc", "p4", {"preset": "p4", "rc": "vbr", "cq": "18", "b": "0"}),
        ("hevc_nvenc", "veryfast", {"preset": "p5", "rc": "vbr", "cq": "18", "b": "0"}),
    ],
)
def test_each_encoder_is_asked_in_its_own_words(codec: str, preset: str, expected: dict[str, str]) -> None:
    assert Encoder(codec=codec, preset=preset, crf=18).options() == expected


def test_an_encoder_works_only_if_it_was_opened_and_gave_a_packet() -> None:
    assert problem_with("libx264") == ""
    assert "libnope" in problem_with("libnope")


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="an NVIDIA card may have the encoder")
def test_auto_falls_back_to_software_where_the_card_has_no_encoder_and_the_recipe_says_why(settings: Settings) -> None:
    encoder = encoder_of(dataclasses.replace(settings, video_codec="auto", video_crf=20))

    assert (encoder.codec, encoder.crf) == ("libx264", 20)
    assert encoder.describe()["reason"].startswith("h264_nvenc does not work here: ")


def test_an_encoder_that_is_asked_for_by_name_is_not_argued_with(settings: Settings) -> None:
    encoder = encoder_of(dataclasses.replace(settings, video_codec="h264_nvenc", video_threads=3))

    assert encoder.describe() == {"codec": "h264_nvenc", "preset": "veryfast", "crf": 18, "threads": 3}


@pytest.mark.parametrize(
    ("cores", "workers", "threads"),
    [
        pytest.param(16, 1, 16, id="one worker has all"),
        pytest.param(64, 8, 8, id="eight share"),
        pytest.param(192, 2, 16, id="more would wait for each other"),
        pytest.param(8, 8, 2, id="never fewer than two"),
    ],
)
def test_workers_of_a_host_share_its_cores(
    cores: int, workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))

    assert encoder_threads(workers) == threads
