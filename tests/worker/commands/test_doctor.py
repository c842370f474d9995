"""The worker's part of `reelmill doctor`."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from reelmill_common.errors import NotFound
from reelmill_common.findings import Finding, Severity
from reelmill_common.settings import Settings
from reelmill_worker.commands.doctor import examine, examine_gpu, judge_gpu


@pytest.mark.parametrize(
    ("gpu", "texts"),
    [
        pytest.param(
            "RTX 3090",
            ("linears int8, weights by tensor", "sage2-fp16-mixed", "text encoder gpu-bf16"),
            id="Ampere",
        ),
        pytest.param(
            "NVIDIA GeForce RTX 4090",
            ("fp8, weights by tensor, activations by token", "sage2-fp8"),
            id="Ada, by the driver's name",
        ),
        pytest.param("rtx 4060", ("text encoder cpu", "weights by tensor"), id="a small card"),
    ],
)
def test_a_card_that_is_not_here_is_told_its_plan(gpu: str, texts: tuple[str, ...]) -> None:
    _, plan = examine_gpu(gpu)

    assert plan.level is Severity.OK
    assert all(word in plan.found for word in texts), plan.found


def test_every_choice_that_is_not_the_best_says_why() -> None:
    _, plan = examine_gpu("RTX 3060")

    assert "int8: sm86 has no FP8 tensor cores" in plan.advice
    assert "text encoder in 8 bits: 12 GB" in plan.advice


def test_a_card_without_bfloat16_cannot_render() -> None:
    _, plan = examine_gpu("T4")

    assert plan.level is Severity.FAIL
    assert "compute capability 8.0 or newer" in plan.advice


def test_an_unknown_card_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(NotFound, match=r"no GPU 'RTX 1' in the table; use one of RTX 3050, .*T4"):
        examine_gpu("RTX 1")


def test_a_line_of_the_driver_becomes_a_finding() -> None:
    found = judge_gpu("0, NVIDIA GeForce RTX 4090, 580.95, 8.9, 24564 MiB")

    assert found.name == "gpu0"
    assert found.level is Severity.OK
    assert "sm89, 26 GB, driver 580.95: linears fp8, weights by tensor" in found.found


def test_a_deep_look_finds_a_file_that_changed(settings: Settings, tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    settings = dataclasses.replace(settings, profile="tiny", model_dir=str(model))

    whole = by_name(examine(settings, deep=True))
    weights = next((model / "vae").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # same size, same header
    weights.write_bytes(content)
    damaged = by_name(examine(settings, deep=True))

    assert whole["model.hash"].level is Severity.OK, whole["model.hash"]
    assert damaged["model.hash"].level is Severity.FAIL
    assert str(weights) in damaged["model.hash"].found


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}
