from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fixtures.cli import Cli
from reelmill_common.errors import PromptTooLong
from reelmill_common.jobs import RenderSpec
from reelmill_common.settings import Settings
from reelmill_producer.prompts.admission import PromptCheck

NOTE = "not among the words that tiny learned"
LONG = RenderSpec(prompt=" ".join(["fox"] * 512), profile="tiny")


def test_a_prompt_with_too_many_tokens_is_refused_where_the_tokenizer_is(tiny_model: Path) -> None:
    check = PromptCheck(dataclasses.replace(Settings(), model_dir=str(tiny_model)), "tiny")

    check(RenderSpec(prompt="a fox", profile="tiny"))
    with pytest.raises(PromptTooLong, match="513 tokens"):
        check(LONG)


def test_without_a_tokenizer_the_worker_decides(tmp_path: Path) -> None:
    check = PromptCheck(dataclasses.replace(Settings(), model_dir=str(tmp_path)), "tiny")

    check(LONG)  # refuses nothing


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "night.txt"
    file.write_text("a red ball rises, with a fox\nan owl and a fox at dusk\na red ball rises\n")
    return file


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_submit_names_each_word_that_tiny_did_not_learn_once(cli: Cli, rows: Path, options: tuple[str, ...]) -> None:
    ran = cli("submit", rows, "--profile", "tiny", *options)

    assert ran.status == 0, ran.err
    assert ran.err.count(NOTE) == 1
    assert f"`fox` and `owl` are {NOTE}; it knows coloured" in ran.err
    assert "docs/qad.md" in ran.err


def test_render_names_one_and_counts_many(cli: Cli) -> None:
    one = cli("render", "a red fox", "--profile", "tiny", "--no-wait")
    many = cli("render", "fog hides owl, fox, elk, yak, emu and ibex", "--profile", "tiny", "--no-wait")

    assert f"`fox` is {NOTE}" in one.err
    assert f"`fog`, `hides`, `owl`, `fox`, `elk` and 3 more are {NOTE}" in many.err


@pytest.mark.parametrize(
    ("prompt", "profile"), [("a red ball rises over a grey floor", "tiny"), ("a red fox", "fastwan-qad-fp8")]
)
def test_nothing_is_told_of_known_or_of_another_profile(cli: Cli, prompt: str, profile: str) -> None:
    ran = cli("render", prompt, "--profile", profile, "--no-wait")

    assert ran.status == 0, ran.err
    assert NOTE not in ran.err
