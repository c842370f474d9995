"""The pruner: what is due is archived and forgotten, by one worker at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from common.ledger_steps import end_batch
from reelmill_common.archive import newest_archive
from reelmill_common.ledger import Ledger
from reelmill_common.services.pruner import Pruner
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return FolderStore(tmp_path / "clips")


def test_the_pruner_takes_turns_and_keeps_what_is_young(ledger: Ledger, store: ClipStore, settings: Settings) -> None:
    end_batch(ledger, "night")

    patient = Pruner(settings=dataclasses.replace(settings, prune_days=1))
    assert patient.round(ledger, store) == []
    assert ledger.batches.get("night").total == 3
    assert ledger.retention.take_prune(turn_s=60) is False


def test_the_pruner_archives_and_forgets_what_is_due(ledger: Ledger, store: ClipStore, settings: Settings) -> None:
    end_batch(ledger, "night")

    assert Pruner(settings=settings).round(ledger, store) == ["night"]  # after 0 days: a thread would not start
    assert newest_archive(store, "night")
    assert ledger.batches.all() == []
