"""`submit --results` and `export`: what became of each job, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.cli import Cli, started
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

KEYS = ["row", "job_id", "state", "key", "url", "sha256", "seed", "error"]


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A file of three rows."""
    file = tmp_path / "night.csv"
    file.write_text("id,prompt,seed\nfox,a fox,1\nowl,an owl,2\nhare,a hare,3\n")
    return file


def test_results_are_written_beside_the_input_when_all_has_ended(
    night: Path, hand: Hand, ledger: Ledger, settings: Settings
) -> None:
    file = night.with_suffix(".results.jsonl")
    file.write_text("of yesterday\n")

    with started("submit", str(night), "--wait", "--results", str(file), env=settings.to_env()) as running:
        wait_for(lambda: [view for view in ledger.batches.all() if view.total == 3])
        result = hand.finish(hand.claim())
        hand.fail(hand.claim())
        ledger.batches.cancel("night")
        status = running.wait()

    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert status == 69
    assert f"3 results in {file}" in running.err
    assert [list(record) for record in records] == [KEYS] * 3
    assert [(record["row"], record["state"], record["seed"]) for record in records] == [
        ("fox", "succeeded", 1),
        ("owl", "failed", 2),
        ("hare", "cancelled", 3),
    ]
    assert (records[0]["key"], records[0]["sha256"], records[0]["error"]) == (result.key, result.sha256, None)
    assert records[0]["url"].endswith(result.key)
    assert records[1]["error"] == {"code": "bad_output", "message": "all frames are black"}
    assert sorted(path.name for path in night.parent.glob("*night*")) == ["night.csv", "night.results.jsonl"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        pytest.param("night.csv", "is the prompt file itself", id="the input"),
        pytest.param("../{folder}/./night.csv", "is the prompt file itself", id="the input by another path"),
        pytest.param("absent/results.jsonl", "No such file or directory", id="no folder"),
        pytest.param(".", "is a folder", id="a folder"),
    ],
)
def test_a_results_file_that_cannot_be_is_refused_before_anything_is_submitted(
    cli: Cli, night: Path, ledger: Ledger, name: str, texts: str
) -> None:
    file = night.parent / name.format(folder=night.parent.name)
    before = night.read_text()

    ran = cli("submit", night, "--wait", "--results", file)

    assert (ran.status, ran.out) == (78, "")
    assert texts in ran.err
    assert night.read_text() == before
    assert ledger.batches.all() == []
