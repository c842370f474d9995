"""`reelmill export`: the jobs of a batch that have ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A file of three rows."""
    file = tmp_path / "night.csv"
    file.write_text("id,prompt,seed\nfox,a fox,1\nowl,an owl,2\nhare,a hare,3\n")
    return file


def test_export_prints_the_jobs_that_have_ended_of_any_batch(cli: Cli, night: Path, hand: Hand) -> None:
    cli("submit", night)
    hand.finish(hand.claim())
    hand.fail(hand.claim())

    ran = cli("export", "night")

    assert ran.status == 0
    assert [(record["row"], record["state"]) for record in ran.jsons] == [("fox", "succeeded"), ("owl", "failed")]


def test_export_of_no_batch_is_refused(cli: Cli) -> None:
    ran = cli("export", "nowhere")

    assert (ran.status, ran.out) == (66, "")
    assert "no batch 'nowhere'" in ran.err
