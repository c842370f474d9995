from __future__ import annotations

from pathlib import Path

import pytest
import redis

from common.ledger_audit import sound
from common.ledger_steps import end_batch, submit
from reelmill_common.access import Role
from reelmill_common.archive import archive
from reelmill_common.calendar.cron import Cron
from reelmill_common.errors import LedgerUnavailable, NotFound
from reelmill_common.farm_mark import leave_mark, other_mark
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.marks import ClipChoice, ClipMark
from reelmill_common.ledger.restoration import CopiedKey, Restoration
from reelmill_common.schedules import Schedule
from reelmill_common.services.record_copy import copy_key, restore
from reelmill_common.services.record_keeper import RecordKeeper
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return FolderStore(tmp_path / "clips")


def wipe(settings: Settings) -> None:
    """Do what `FLUSHALL` does, to this farm only."""
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.scan_iter(f"reelmill:{{{settings.farm}}}:*"):
            client.delete(key)


def test_what_people_made_and_what_had_ended_comes_back_from_the_store(
    ledger: Ledger, store: ClipStore, settings: Settings
) -> None:
    leave_mark(ledger, store, settings.farm)
    ids = end_batch(ledger, "night", 5)
    (done,) = [job for job in ledger.jobs.page("night") if job.result]
    ledger.choices.set(done.job_id, ClipChoice(mark=ClipMark.FAVOURITE, note="the best"))
    cron = Cron.parse("0 22 * * *", "Europe/Vienna")
    rows = [("fox", RenderSpec(prompt="a fox", frames=5, profile="tiny"))]
    ledger.schedules.add(Schedule(name="nightly", cron=cron, policy={"priority": 7}), rows)
    token = ledger.tokens.make("ann", Role.SUBMITTER, "ann")
    ledger.owners.set("ann", weight=3)
    submit(ledger, "open", 2)
    archive(ledger, store, "night")
    assert RecordKeeper(settings=settings).round(ledger, store)
    before = (ledger.batches.get("night"), list(ledger.jobs.every("night")), ledger.schedules.get("nightly"))
    pieces = ledger.schedules.piece(_rows(ledger), 0)

    wipe(settings)
    assert not RecordKeeper(settings=settings).round(ledger, store) or len(list(store.list("record/"))) == 2
    found = restore(ledger, store, settings.farm)

    assert (found.schedules, found.tokens, found.batches) == (1, 1, ["night"])
    assert [(batch.name, batch.jobs) for batch in found.lost] == [("open", 2)]
    assert (ledger.batches.get("night"), list(ledger.jobs.every("night")), ledger.schedules.get("nightly")) == before
    assert [job.job_id for job in ledger.jobs.every("night")] == ids
    assert ledger.schedules.piece(_rows(ledger), 0) == pieces
    assert ledger.tokens.principal(token) is not None
    assert next(owner.weight for owner in ledger.owners.all() if owner.name == "ann") == 3
    assert other_mark(ledger, store) is None
    sound(settings)
    again = restore(ledger, store, settings.farm)
    assert (again.schedules, again.tokens, again.batches, again.there) == (0, 0, [], ["night"])


def test_the_empty_record_that_follows_a_loss_replaces_no_copy(
    ledger: Ledger, store: ClipStore, settings: Settings
) -> None:
    ledger.tokens.make("ann", Role.OPERATOR)
    RecordKeeper(settings=settings).round(ledger, store)
    kept, key = store.get(copy_key(ledger.identity())), copy_key(ledger.identity())

    wipe(settings)
    RecordKeeper(settings=settings).round(ledger, store)

    assert store.get(key) == kept
    assert copy_key(ledger.identity()) != key


def test_a_batch_that_would_be_forgotten_again_stays_in_the_store(
    ledger: Ledger, store: ClipStore, settings: Settings
) -> None:
    end_batch(ledger, "night", 2)
    key = archive(ledger, store, "night")
    old = key.replace("night/archive-20", "past/archive-19")
    store.put(old, store.get(key), content_type="application/gzip", replace=False)
    wipe(settings)

    found = restore(ledger, store, settings.farm, keep_s=3600)

    assert (found.batches, found.old, found.lost) == (["night"], ["past"], [])
    assert [view.name for view in ledger.batches.all()] == ["night"]


def test_a_store_without_a_copy_has_nothing_to_bring_back(ledger: Ledger, store: ClipStore, settings: Settings) -> None:
    with pytest.raises(NotFound, match="neither a copy of a record nor an archive"):
        restore(ledger, store, settings.farm)


def test_who_was_made_anew_under_its_name_gets_nothing_of_its_older_namesake(
    ledger: Ledger, store: ClipStore, settings: Settings
) -> None:
    cron = Cron.parse("0 22 * * *", "Europe/Vienna")
    rows = [("fox", RenderSpec(prompt="a fox", frames=5, profile="tiny"))]
    old = ledger.tokens.make("ann", Role.OPERATOR)
    lost = ledger.tokens.make("bob", Role.OPERATOR)
    ledger.schedules.add(Schedule(name="nightly", cron=cron, policy={"priority": 7}), rows)
    RecordKeeper(settings=settings).round(ledger, store)
    wipe(settings)
    new = ledger.tokens.make("ann", Role.VIEWER)
    ledger.schedules.add(Schedule(name="nightly", cron=cron, policy={"priority": 1}), rows)
    before = ledger.schedules.get("nightly")

    found = restore(ledger, store, settings.farm)

    known = [ledger.tokens.principal(token) is not None for token in (old, lost, new)]
    assert (known, found.tokens, ledger.schedules.get("nightly")) == ([False, True, True], 1, before)
    with redis.Redis.from_url(settings.redis_url) as client:
        assert len(list(client.scan_iter(f"reelmill:{{{settings.farm}}}:rows:*"))) == 1


def test_a_second_restore_brings_back_no_token_that_was_revoked_since_the_first(
    ledger: Ledger, store: ClipStore, settings: Settings
) -> None:
    keeper = RecordKeeper(settings=settings)
    leave_mark(ledger, store, settings.farm)
    old, identity = ledger.tokens.make("ann", Role.OPERATOR), ledger.identity()
    keeper.round(ledger, store)
    wipe(settings)
    new = ledger.tokens.make("bob", Role.OPERATOR)
    keeper.round(ledger, store)
    restore(ledger, store, settings.farm)
    for name in ("ann", "bob"):
        ledger.tokens.revoke(name)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(f"reelmill:{{{settings.farm}}}:copy_turn")
    assert keeper.round(ledger, store)

    restore(ledger, store, settings.farm)

    assert [ledger.tokens.principal(token) for token in (old, new)] == [None, None]
    assert ledger.identity() == identity


def test_a_restore_that_was_cut_off_is_done_by_the_next(
    ledger: Ledger, store: ClipStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_mark(ledger, store, settings.farm)
    token = ledger.tokens.make("ann", Role.OPERATOR)
    RecordKeeper(settings=settings).round(ledger, store)
    wipe(settings)
    RecordKeeper(settings=settings).round(ledger, store)
    put, keys = Restoration.put, iter(range(2))

    def put_some(self: Restoration, key: CopiedKey) -> int:
        if next(keys, None) is None:
            raise LedgerUnavailable("Redis does not answer")
        return put(self, key)

    monkeypatch.setattr(Restoration, "put", put_some)
    with pytest.raises(LedgerUnavailable):
        restore(ledger, store, settings.farm)
    monkeypatch.undo()

    restore(ledger, store, settings.farm)

    assert ledger.tokens.principal(token) is not None


def _rows(ledger: Ledger) -> str:
    record = ledger.restoration.record()
    return next(name for name, _, _ in ledger.restoration.rows(record)).removeprefix("rows:")
