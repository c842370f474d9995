"""`reelmill submit --dry-run`: counts, what the farm has already, and estimates from what it has measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.cli import Cli, program
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger, Result, WorkerInfo
from reelmill_common.settings import Settings

RESULT = Result(key="k.mp4", sha256="ab" * 32, size_bytes=1, latents_sha256="cd" * 32)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Two shapes: 3 clips of 5 frames, 1 of 9."""
    file = tmp_path / "night.yaml"
    file.write_text("- {id: fox, prompt: a fox, frames: 5, seeds: 1..3}\n- {id: owl, prompt: an owl, frames: 9}\n")
    return file


@pytest.fixture
def measured(cli: Cli, hand: Hand, ledger: Ledger, tmp_path: Path) -> None:
    """Two finished clips of 5 frames: 2 s and 4 s on the GPU."""
    (tmp_path / "before.yaml").write_text("- {prompt: a hare, frames: 5, seeds: 1..2}\n")
    cli("submit", tmp_path / "before.yaml")
    for seconds in (2.0, 4.0):
        claimed = hand.claim()
        stages = {"encode_text": 0.5, "denoise": seconds - 0.5, "mux": 50.0, "upload": 70.0}
        assert ledger.attempts.finish(claimed.job_id, claimed.token, replace(RESULT, seconds=stages))


def test_nothing_is_submitted_and_what_is_not_measured_is_unknown(cli: Cli, night: Path, ledger: Ledger) -> None:
    ran = cli("submit", night, "--dry-run", "--rate", "2.5")

    assert (ran.status, ran.out) == (0, "4\n")
    assert "3 tiny 128x80, 5 frames: unknown: no clip of this profile has finished yet" in ran.err
    assert "4 new, 0 unchanged, 0 in conflict" in ran.err
    assert "GPU-hours: unknown: no clip of this profile has finished yet (tiny)" in ran.err
    assert "cost at 2.5 a GPU-hour: unknown" in ran.err
    assert ledger.batches.all() == []


@pytest.mark.usefixtures("measured")
def test_estimates_come_from_the_gpu_seconds_of_finished_clips(cli: Cli, night: Path) -> None:
    ran = cli("submit", night, "--dry-run", "--rate", "3600", "--json")

    assert ran.json["gpu_hours"] == pytest.approx(4 * 3 / 3600)
    assert ran.json["finish_s"] == pytest.approx(4 * 3)
    assert ran.json["cost"] == pytest.approx(4 * 3)
    assert ran.json["unknown"] == ""
    assert [(shape["frames"], shape["jobs"], shape["measured_same_size"]) for shape in ran.json["shapes"]] == [
        (5, 3, True),
        (9, 1, False),
    ]
    assert {shape["seconds_per_clip"] for shape in ran.json["shapes"]} == {3.0}
    assert "3.00 s a clip (mean of 2 finished clips of other sizes)" in ran.err


@pytest.mark.usefixtures("measured")
def test_the_finish_counts_what_waits_and_every_ready_worker(cli: Cli, night: Path, ledger: Ledger) -> None:
    (night.parent / "first.txt").write_text("a\nb\nc\n")
    cli("submit", night.parent / "first.txt")
    ledger.workers.register("second@test", "tiny", WorkerInfo())
    ledger.workers.ready("second@test", WorkerInfo())

    ran = cli("submit", night, "--dry-run", "--json")

    assert ran.json["finish_s"] == pytest.approx(4 * 3)  # 7 clips of 3 s: one of the two workers makes 4


@pytest.mark.usefixtures("measured")
def test_the_finish_goes_by_the_policy_that_it_would_have(cli: Cli, night: Path, ledger: Ledger) -> None:
    (night.parent / "first.txt").write_text("a\nb\nc\n")
    cli("submit", night.parent / "first.txt")

    urgent = cli("submit", night, "--dry-run", "--json", "--priority", "9").json
    later = cli("submit", night, "--dry-run", "--json", "--start-after", "2h").json
    nobodys = cli("submit", night, "--dry-run", "--json", "--class", "h100").json

    assert urgent["finish_s"] == pytest.approx(4 * 3)
    assert later["finish_s"] == pytest.approx(2 * 3600 + 4 * 3, abs=60)
    assert (nobodys["finish_s"], nobodys["unknown"]) == (None, "no worker is ready for tiny@h100")


@pytest.mark.usefixtures("measured")
def test_without_a_ready_worker_only_the_finish_is_unknown(cli: Cli, night: Path, ledger: Ledger) -> None:
    ledger.workers.retire("hand@test")

    ran = cli("submit", night, "--dry-run")

    assert "GPU-hours: 0.003" in ran.err
    assert "finish: unknown: no worker is ready for tiny" in ran.err


def test_what_is_there_is_unchanged_or_in_conflict(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night)
    night.write_text("- {id: fox, prompt: a fox, frames: 5, seeds: 0..3}\n- {id: owl, prompt: an old owl, frames: 9}\n")

    ran = cli("submit", night, "--dry-run", "--json")

    assert ran.status == 65
    assert (ran.json["new"], ran.json["unchanged"], ran.json["conflicts"]) == (1, 3, 1)
    assert "a submit would be refused" in ran.err
    assert ledger.batches.get("night").total == 4


@pytest.mark.parametrize("redis_url", ["", "redis://127.0.0.1:1/0"])
def test_without_a_farm_the_file_is_counted_all_the_same(night: Path, settings: Settings, redis_url: str) -> None:
    env = {**settings.to_env(), "REELMILL_PROFILE": "tiny"}
    env.pop("REELMILL_REDIS_URL")

    ran = program(
        "submit", str(night), "--dry-run", "--json", env=env | ({"REELMILL_REDIS_URL": redis_url} if redis_url else {})
    )

    assert ran.status == 0
    assert (ran.json["jobs"], ran.json["new"], ran.json["gpu_hours"]) == (4, None, None)
    assert "no farm was asked" in ran.json["unknown"]


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        pytest.param(("--rate", "2"), "--rate is for --dry-run", id="a rate without a dry run"),
        pytest.param(("--rate", "-1", "--dry-run"), "is not a valid price", id="negative rate"),
        pytest.param(("--rate", "nan", "--dry-run"), "is not a valid price", id="no number"),
        pytest.param(("--results", "r.jsonl"), "--results needs --wait", id="results without a wait"),
        pytest.param(("--results", "r.jsonl", "--wait", "--dry-run"), "no --dry-run", id="results of a dry run"),
    ],
)
def test_options_that_need_each_other_say_so(
    cli: Cli, night: Path, ledger: Ledger, arguments: tuple[str, ...], texts: str
) -> None:
    ran = cli("submit", night, *arguments)

    assert (ran.status, ran.out) == (2, "")
    assert texts in " ".join(ran.err.split())
    assert ledger.batches.all() == []
