"""`reelmill show`: how a clip was made, or what the name is instead."""

from __future__ import annotations

from pathlib import Path

from fixtures.cli import Cli
from fixtures.hand import Hand


def test_what_is_neither_file_nor_job_is_told(cli: Cli) -> None:
    ran = cli("show", "No such thing!")

    assert ran.status == 66
    assert "neither a file, a link, a key of the store, BATCH/ROW nor the id of a job" in ran.err


def test_what_could_be_a_clip_and_is_none_is_told_for_what_it_is(cli: Cli, hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "night.txt").write_text("a fox\n")
    night = cli("submit", tmp_path / "night.txt").out.strip()
    hand.finish(hand.claim())

    batch, row, absent = (cli("show", target) for target in (night, f"{night}/nothing", "nothere.mp4"))

    assert (batch.status, row.status, absent.status) == (65, 66, 66)
    assert "night is a batch; name one of its clips: `reelmill results night --json` lists them" in batch.err
    assert "batch 'night' has no row 'nothing'" in row.err
    assert "nothere.mp4 is neither a file here nor the key of a clip in the store" in absent.err
