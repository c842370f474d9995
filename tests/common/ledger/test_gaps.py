"""A key that is missing: what it was about may stall, everything else goes on, and it is said which one it was."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest
import redis

from common.ledger_audit import sound
from common.ledger_steps import LANE, WORKER, begin, fail_one, make_jobs, make_result, start_worker, submit
from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Claimed, Ledger, Refused, dispatch
from reelmill_common.settings import Settings

OTHERS = ("second", "third")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MEND_APART_S", 0.001)


@pytest.fixture
def admin(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        yield client


def tick(ledger: Ledger) -> None:
    """What a worker does each second, and one clip."""
    if ledger.workers.beat(WORKER) is None:
        start_worker(ledger)
    ledger.dispatch.reap()
    ledger.dispatch.mend()
    ledger.dispatch.sweep()
    for item in ledger.dispatch.pump(LANE):
        claimed = ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60)
        if isinstance(claimed, Claimed):
            assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result(), index=True)


def work(ledger: Ledger, ticks: int = 12) -> None:
    for _ in range(ticks):
        tick(ledger)


def jobs_in_each_state(ledger: Ledger) -> list[str]:
    """Three batches with jobs in every state; return the ids of the first."""
    start_worker(ledger)
    ids = submit(ledger, "first", 6)
    fail_one(ledger)
    begin(ledger)
    ledger.jobs.pause(ids[5])
    (sent,) = ledger.dispatch.pump(LANE, depth=1)
    assert sent.job_id == ids[2]
    for name in OTHERS:
        submit(ledger, name, 4)
    return ids


def all_done(ledger: Ledger, names: tuple[str, ...]) -> bool:
    return all(ledger.batches.get(name).counts[JobState.SUCCEEDED] == 4 for name in names)


KEYS = (
    "job:{waiting}", "job:{sent}", "job:{running}", "job:{held}", "job:{failed}", "spec:{waiting}", "spec:{sent}",
    "spec:{running}", "batch:first", "order:first", "flight:first", "retry:first", "waiting:first:tiny", "sent",
    "hold:first:tiny", "leases", "lane:tiny", "ready:tiny:5", "levels:tiny", "share:tiny:5:", "spots:", "owner:",
    "owners", "batches", "live:tiny", "beats", "workers", "worker:" + WORKER, "held:" + WORKER, "served", "meta",
    "events", "error:{failed}",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_one_missing_key_stalls_no_other_batch(ledger: Ledger, admin: redis.Redis, key: str) -> None:
    failed, running, sent, waiting, _, held = jobs_in_each_state(ledger)
    name = key.format(failed=failed, running=running, sent=sent, waiting=waiting, held=held)

    admin.delete(ledger._keys.prefix + name)
    ledger.dispatch.mend()
    work(ledger)

    assert all_done(ledger, OTHERS)
    ledger.overview.stats()
    ledger.overview.snapshot()


@pytest.mark.parametrize("key", KEYS)
def test_what_people_do_with_the_batch_itself_is_done_or_explained(
    ledger: Ledger, admin: redis.Redis, key: str
) -> None:
    failed, running, sent, waiting, _, held = jobs_in_each_state(ledger)
    name = key.format(failed=failed, running=running, sent=sent, waiting=waiting, held=held)
    admin.delete(ledger._keys.prefix + name)

    for call in (
        *(getattr(ledger.batches, verb) for verb in ("pause", "resume", "retry", "resume_held", "cancel", "get")),
        ledger.jobs.next_of, lambda batch: ledger.batches.prioritize(batch, 7),
    ):  # fmt: skip
        with contextlib.suppress(NotFound):
            call("first")
    ledger.dispatch.upcoming(LANE)
    ledger.overview.backlog()
    work(ledger)

    assert all_done(ledger, OTHERS)


@pytest.mark.parametrize("kind", ["job", "spec", "batch"])
def test_what_is_missing_is_reported_and_its_batch_ends_or_waits_for_people(
    ledger: Ledger, admin: redis.Redis, kind: str
) -> None:
    start_worker(ledger)
    ids = submit(ledger, "first", 3)
    name = "batch:first" if kind == "batch" else f"{kind}:{ids[1]}"
    admin.delete(ledger._keys.prefix + name)

    before = ledger.dispatch.gaps()
    work(ledger)

    found = [event for event in ledger.events.read(after="0") if event.name == "ledger.key_missing"]
    assert before == ledger.dispatch.gaps() == [name.replace(":", " ", 1)]
    assert [event.fields["kind"] for event in found] == [kind]
    view = ledger.batches.get("first")
    if kind == "batch":
        assert (view.state, view.counts[JobState.QUEUED]) == (BatchState.PAUSED, 3)
        assert "made anew" in view.why_paused
    else:
        assert view.state is BatchState.DONE
        assert (view.counts[JobState.SUCCEEDED], view.counts[JobState.FAILED]) == (2, int(kind == "spec"))


@pytest.mark.parametrize("kind", ["job", "spec", "batch"])
def test_submitting_again_brings_back_what_is_missing(ledger: Ledger, admin: redis.Redis, kind: str) -> None:
    start_worker(ledger)
    ids = submit(ledger, "first", 3)
    admin.delete(ledger._keys.prefix + ("batch:first" if kind == "batch" else f"{kind}:{ids[1]}"))

    ledger.batches.submit(Batch(name="first"), make_jobs("first", 3))
    ledger.batches.resume("first")
    work(ledger)

    assert ledger.batches.get("first").counts[JobState.SUCCEEDED] == 3


def test_an_attempt_whose_job_is_gone_ends_quietly(ledger: Ledger, admin: redis.Redis, settings: Settings) -> None:
    start_worker(ledger)
    submit(ledger, "first", 2)
    claimed = begin(ledger)
    (item,) = ledger.dispatch.pump(LANE, depth=1)
    admin.delete(ledger._keys.job(claimed.job_id), ledger._keys.job(item.job_id))

    assert not ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.UNKNOWN
    work(ledger, 2)
    ledger.workers.retire(WORKER)

    assert ledger.batches.get("first").remaining == 0
    sound(settings)


@pytest.mark.parametrize("seed", range(8))
def test_any_missing_key_leaves_the_other_batches_to_be_done(ledger: Ledger, admin: redis.Redis, seed: int) -> None:
    """Three random keys of the farm, one after the other, but those of the batches that must be done."""
    chance = random.Random(seed)
    ids = jobs_in_each_state(ledger)
    theirs = {job.job_id for name in OTHERS for job in make_jobs(name, 4)} - set(ids)
    for _ in range(3):
        keys = sorted(
            key
            for key in admin.scan_iter(match=f"{ledger._keys.prefix}*", count=1000)
            if not any(mark in key for mark in (*theirs, *(f":{name}" for name in OTHERS)))
        )
        gone = chance.choice(keys)
        admin.delete(gone)
        tick(ledger)

    work(ledger, 20)

    assert all_done(ledger, OTHERS)


def test_counters_that_are_wrong_are_counted_anew_also_where_much_is_in_flight(
    ledger: Ledger, admin: redis.Redis
) -> None:
    submit(ledger, "night", 500)
    start_worker(ledger)
    ledger.dispatch.pump(LANE, depth=500)
    prefix = ledger._keys.prefix
    admin.hincrby(f"{prefix}lane:{LANE}", "d5", 7)
    admin.delete(f"{prefix}owner:")

    ledger.dispatch.mend()

    assert admin.hget(f"{prefix}lane:{LANE}", "d5") == "500"
    assert admin.hget(f"{prefix}owner:", "n") == "500"
