"""Archiving and pruning: what has ended is written to the store, then forgotten without a trace and without a block."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from common.ledger_audit import audit, snapshot
from common.ledger_steps import LANE, end_batch, make_jobs, submit
from reelmill_common.archive import archive, due, ended_at, newest_archive, prune, read_archive
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import Ledger, retention
from reelmill_common.ledger.retention import Pruned
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return FolderStore(tmp_path / "clips")


def test_an_archive_has_the_batch_and_every_job(
    ledger: Ledger, store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.ledger.jobs.PAGE", 2)
    ids = end_batch(ledger, "night", 5)

    key = archive(ledger, store, "night")
    batch, *jobs = read_archive(store, key)

    assert (batch["kind"], batch["name"], batch["counts"]["cancelled"]) == ("batch", "night", 3)
    assert [job["job_id"] for job in jobs] == ids
    assert [job["state"] for job in jobs] == ["failed", "succeeded", *["cancelled"] * 3]
    assert jobs[0]["error"] == {"code": "bad_output", "message": "black"}
    assert jobs[1]["result"]["key"] == "night/r1.mp4"
    assert jobs[0]["spec"]["prompt"] == "clip 0 of night"


def test_an_archive_is_written_once_for_each_end(ledger: Ledger, store: ClipStore) -> None:
    end_batch(ledger, "night")
    first = archive(ledger, store, "night")

    assert archive(ledger, store, "night") == first
    ledger.batches.retry("night")
    ledger.batches.cancel("night")
    assert newest_archive(store, "night") == first
    second = archive(ledger, store, "night")
    assert second > first
    ended = ledger.batches.get("night").finished_at
    assert ended is not None
    assert ended_at(second) == int(ended)
    assert ended_at("night/archive-of-mine.jsonl.gz") is None
    assert newest_archive(store, "night") == second


def test_a_batch_that_goes_on_is_not_archived(ledger: Ledger, store: ClipStore) -> None:
    submit(ledger, "night", 2)

    with pytest.raises(InvalidJob, match="2 jobs that have not ended"):
        archive(ledger, store, "night")
    assert list(store.list()) == []


def test_a_pruned_batch_leaves_nothing_but_its_archive(
    ledger: Ledger, store: ClipStore, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PRUNE_MOST", 3)
    ids = end_batch(ledger, "night", 10)
    end_batch(ledger, "kept", 3)

    (done,) = prune(ledger, store, [ledger.batches.get("night")])

    assert (done.fate, done.archive) == (Pruned.PRUNED, newest_archive(store, "night"))
    assert len(list(read_archive(store, done.archive))) == 11
    with pytest.raises(NotFound):
        ledger.batches.get("night")
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        left = client.keys(f"reelmill:{{{settings.farm}}}:*")
        audit(snapshot(client, settings.farm))
    assert [name for name in left if any(word in name for word in ("night", *ids))] == []
    assert ledger.batches.get("kept").total == 3


def test_a_pruned_batch_can_be_submitted_again(ledger: Ledger, store: ClipStore) -> None:
    end_batch(ledger, "night")
    list(prune(ledger, store, due(ledger, 0)))

    assert ledger.batches.submit(Batch(name="night"), make_jobs("night", 3)).added == 3
    assert len(ledger.dispatch.pump(LANE)) == 2


def test_a_prune_that_was_cut_off_leaves_a_whole_ledger_and_its_archive(
    ledger: Ledger, store: ClipStore, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_batch(ledger, "night", 10)
    view, key = ledger.batches.get("night"), archive(ledger, store, "night")
    ended = str(round((view.finished_at or 0) * 1000))

    assert ledger._server.run("prune", "night", ended, 4) == 6
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        audit(snapshot(client, settings.farm))
    (done,) = prune(ledger, store, [ledger.batches.get("night")])

    assert (done.fate, done.archive) == (Pruned.PRUNED, key)
    assert len(list(read_archive(store, key))) == 11


def test_a_batch_that_goes_on_is_not_pruned(ledger: Ledger) -> None:
    end_batch(ledger, "night")
    view = ledger.batches.get("night")
    ledger.batches.retry("night")

    assert [done.fate for done in prune(ledger, None, [view])] == [Pruned.GOES_ON]
    assert ledger.batches.get("night").counts[JobState.QUEUED] == 2


def test_a_batch_that_others_wait_for_is_kept(ledger: Ledger) -> None:
    end_batch(ledger, "first")
    ledger.batches.submit(Batch(name="second", after=("first",)), make_jobs("second", 1))

    assert ledger.retention.prune_batch(ledger.batches.get("first")) is Pruned.AWAITED
    ledger.batches.cancel("second")
    assert ledger.retention.prune_batch(ledger.batches.get("second")) is Pruned.PRUNED
    assert ledger.retention.prune_batch(ledger.batches.get("first")) is Pruned.PRUNED


def test_only_what_ended_long_enough_ago_is_due(ledger: Ledger) -> None:
    end_batch(ledger, "night")
    submit(ledger, "open", 1)

    assert due(ledger, 3600) == []
    assert [view.name for view in due(ledger, 0)] == ["night"]
    assert due(ledger, 0, batch="open") == []
