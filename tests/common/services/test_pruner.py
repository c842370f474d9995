"""The pruner: what is due is archived and forgotten, by one worker at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import redis

from common.ledger_steps import end_batch, with_url
from reelmill_common.archive import newest_archive
from reelmill_common.errors import NotFound
from reelmill_common.ledger import Ledger
from reelmill_common.services.pruner import SHORT_SHARE, Pruner
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore
from reelmill_producer.embedded.valkey import ValkeyServer


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return FolderStore(tmp_path / "clips")


def test_the_pruner_takes_turns_and_keeps_what_is_young(ledger: Ledger, store: ClipStore, settings: Settings) -> None:
    end_batch(ledger, "night")

    patient = Pruner(settings=dataclasses.replace(settings, prune_hours=1))
    assert patient.round(ledger, store) == []
    assert ledger.batches.get("night").total == 3
    assert ledger.retention.take_prune(turn_s=60) is False


def test_the_pruner_archives_and_forgets_what_is_due(ledger: Ledger, store: ClipStore, settings: Settings) -> None:
    end_batch(ledger, "night")

    at_once = dataclasses.replace(settings, prune_hours=0)
    assert Pruner(settings=at_once).round(ledger, store) == ["night"]  # after 0 hours: a thread would not start
    assert newest_archive(store, "night")
    assert ledger.batches.all() == []


def test_where_memory_is_short_the_oldest_ended_batches_go_before_their_time(
    settings: Settings, store: ClipStore, own_valkey: ValkeyServer, no_worker_timeout: None
) -> None:
    ours = with_url(settings, own_valkey.url)
    with Ledger.connect(ours) as ledger, redis.Redis.from_url(own_valkey.url) as admin:
        for name in ("first", "second"):
            end_batch(ledger, name)
        pruner = Pruner(settings=ours, early_s=0.0)
        assert pruner.round(ledger, store) == [], "there is no limit"
        admin.config_set("maxmemory", int(ledger.overview.memory().used_bytes / SHORT_SHARE) - 100)
        admin.delete(f"reelmill:{{{settings.farm}}}:prune_turn")

        pruned = pruner.round(ledger, store)

        assert pruned[0] == "first"
        assert newest_archive(store, "first")
        with pytest.raises(NotFound):
            ledger.batches.get("first")
