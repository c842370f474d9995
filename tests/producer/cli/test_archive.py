"""`reelmill archive`: the key of what is in the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand


@pytest.fixture
def ended(cli: Cli, tmp_path: Path, hand: Hand) -> str:
    """A batch with one clip stored, one failed and one was cancelled."""
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    night = cli("submit", tmp_path / "night.csv").out.strip()
    hand.finish(hand.claim())
    hand.fail(hand.claim())
    cli("cancel", night)
    return night


def test_archive_prints_the_key_of_what_is_in_the_store(cli: Cli, ended: str) -> None:
    first, again = cli("archive", ended), cli("archive", ended, "--json")

    assert again.json["key"] == first.out.strip()
