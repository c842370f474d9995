"""The keeper of the record's copy: one worker at a time, and only when something has changed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from common.ledger_steps import end_batch
from reelmill_common.access import Role
from reelmill_common.archive import newest_archive
from reelmill_common.ledger import Ledger
from reelmill_common.services import record_keeper
from reelmill_common.services.record_keeper import RecordKeeper
from reelmill_common.settings import Settings
from reelmill_common.storage.folder import FolderStore


def look(keeper: RecordKeeper, ledger: Ledger, store: FolderStore) -> bool:
    time.sleep(record_keeper.TURN_S * 5)  # until the turn of the look before is over
    return keeper.round(ledger, store)


def test_a_batch_is_archived_and_a_copy_is_written_when_something_has_changed(
    ledger: Ledger, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_keeper, "REST_S", 0.0)
    monkeypatch.setattr(record_keeper, "TURN_S", 0.001)
    keeper, store = RecordKeeper(settings=settings), FolderStore(tmp_path / "clips")
    end_batch(ledger, "night")

    written = [look(keeper, ledger, store) for _ in range(3)]
    ledger.tokens.make("ann", Role.OPERATOR)
    written.append(look(keeper, ledger, store))

    assert written == [True, True, False, True]
    assert newest_archive(store, "night")


def test_one_worker_of_a_farm_has_the_turn(ledger: Ledger, settings: Settings, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "clips")

    assert RecordKeeper(settings=settings).round(ledger, store)
    assert not RecordKeeper(settings=settings).round(ledger, store)
