"""`results`: where the clips are."""

from __future__ import annotations

from pathlib import Path

from fixtures.cli import Cli
from fixtures.hand import Hand


def test_results_are_paths_that_one_can_open(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()
    hand.finish(claimed)

    ran = cli("results", night)

    (path,) = ran.out.splitlines()
    assert Path(path).read_bytes() == b"MP4 of " + claimed.row.encode()


def test_results_as_json_name_key_link_and_hash(cli: Cli, night: str, hand: Hand) -> None:
    result = hand.finish(hand.claim())

    (found,) = cli("results", night, "--json").jsons

    assert found["key"] == result.key
    assert found["sha256"] == result.sha256
    assert found["url"].startswith("file:///")


def test_results_of_a_batch_without_clips_are_empty(cli: Cli, night: str) -> None:
    ran = cli("results", night)

    assert (ran.status, ran.out) == (0, "")
