"""Batches of videos: their names, an owner's and a day's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reelmill_common.jobs import check_name
from reelmill_producer.web.video_batches import batch_name

NOW = datetime(2026, 11, 29, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize("owner", ["", "ann", "Ann", "ann b", "ann-b", "Ärzte ohne Grenzen", "狐" * 64, "a" * 64, ".."])
def test_any_owner_has_a_usable_name(owner: str) -> None:
    name = batch_name(owner, NOW)

    check_name("batch", f"{name}-999")
    assert name.startswith("videos-")
    assert name.endswith("20261129")


def test_no_two_owners_share_a_name_because_of_their_spelling() -> None:
    owners = ["", "ann", "Ann", "ann b", "ann-b", "ann.b", "a" * 64, "a" * 63, "狐", "狸"]

    assert len({batch_name(owner, NOW) for owner in owners}) == len(owners)
