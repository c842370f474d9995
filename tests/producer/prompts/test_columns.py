"""Columns: which field each one is, by its name or by an option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from producer.prompt_steps import read, refused
from reelmill_common.errors import InvalidJob
from reelmill_producer.prompts.columns import asked_columns


def test_a_column_is_what_a_person_says(tmp_path: Path) -> None:
    content = "prompt,caption,Sede,negative_prompt\nold,a fox,7,blurry\n"

    jobs, _ = read(tmp_path / "a.csv", content, "prompt=caption", "seed=sede", "ignore=Negative Prompt")

    assert [(job.spec.prompt, job.spec.seed) for job in jobs] == [("a fox", 7)]
    assert jobs[0].metadata == {"prompt": "old"}


@pytest.mark.parametrize("option", ["caption", "colour=caption", "prompt="])
def test_a_column_option_that_cannot_be_read_is_told(option: str) -> None:
    with pytest.raises(InvalidJob, match="is not FIELD=COLUMN; use for example prompt=caption"):
        asked_columns([option])


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    message = refused(tmp_path / "a.csv", "prompt,seed\na fox,1\n", "prompt=caption")

    assert "--column names 'caption', and the columns are prompt, seed" in message


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("negative_prompt", "blurry", "without classifier-free guidance"),
        ("guidance_scale", "5.0", "without classifier-free guidance"),
        ("num_inference_steps", "30", "distilled for 3 steps"),
        ("num_videos_per_prompt", "4", "give several seeds"),
    ],
)
def test_what_a_distilled_model_does_not_do_is_refused_with_the_reason(
    tmp_path: Path, field: str, value: str, reason: str
) -> None:
    assert reason in refused(tmp_path / "a.csv", f"prompt,{field.upper()}\na fox,{value}\n")
    assert reason in refused(tmp_path / "a.jsonl", json.dumps({"prompt": "a fox", field: value}))
    assert reason in refused(tmp_path / "a.yaml", f"- {{prompt: a fox, {field}: '{value}'}}\n")
    assert reason in refused(tmp_path / "a.yaml", f"defaults: {{{field}: '{value}'}}\njobs:\n- prompt: a fox\n")
    assert reason in refused(tmp_path / "a.yaml", f"- {{prompt: a fox, grid: {{{field}: ['{value}']}}}}\n")


def test_what_says_what_the_model_does_anyway_passes(tmp_path: Path) -> None:
    content = "prompt,negative_prompt,guidance_scale,num_inference_steps\na fox,,1.0,3\nan owl, ,0,\n"

    jobs, _ = read(tmp_path / "a.csv", content)

    assert [job.spec.prompt for job in jobs] == ["a fox", "an owl"]
    assert [job.metadata for job in jobs] == [{}, {}]


def test_the_advice_for_a_size_names_the_files_own_column(tmp_path: Path) -> None:
    content = "prompt,Resolution\na fox,720p\n"
    message = refused(tmp_path / "a.csv", content)

    advised = message.partition("add --column ")[2].split()[0]
    assert read(tmp_path / "a.csv", content, advised)[0][0].metadata == {"resolution": "720p"}
