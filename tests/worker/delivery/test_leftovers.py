"""A ledger that forgets: attempts of another life publish nothing, and what a forgotten one stored is not doubled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from fixtures.bench import NODE, Bench
from fixtures.farm import specs
from fixtures.valkey import wait_for
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, JobView, Orders, WorkerInfo
from reelmill_common.text.untrusted_json import MOST_BYTES
from reelmill_worker.child.renderer import FixedDurationRenderer
from reelmill_worker.delivery.clip_files import PendingClip

ROW = "0000"


@pytest.fixture
def admin(bench: Bench) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(bench.settings.redis_url) as client:
        yield client


def keys_of(bench: Bench, admin: redis.Redis) -> list[bytes]:
    """Return the keys of the test's farm: other tests have theirs on the same server."""
    return list(admin.scan_iter(match=f"{bench.ledger._keys.prefix}*", count=1000))


def wipe(bench: Bench, admin: redis.Redis) -> None:
    admin.delete(*keys_of(bench, admin))


@contextmanager
def forgotten(bench: Bench, admin: redis.Redis) -> Iterator[None]:
    """Have the server forget what is written inside, as one does that is started from an older copy."""
    kept = {key: admin.dump(key) for key in keys_of(bench, admin)}
    yield
    wipe(bench, admin)
    for key, value in kept.items():
        admin.restore(key, 0, value)


def submit(bench: Bench, spec: RenderSpec) -> RenderJob:
    job = RenderJob(batch="night", row=ROW, spec=spec)
    bench.ledger.batches.submit(Batch(name="night"), [job])
    return job


def claim(bench: Bench, lease_s: float = 600) -> Claimed:
    bench.ledger.workers.register(NODE, "tiny", WorkerInfo())
    bench.ledger.workers.ready(NODE, WorkerInfo())
    (item,) = bench.ledger.dispatch.pump("tiny")
    claimed = bench.ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=lease_s)
    assert isinstance(claimed, Claimed), claimed
    return claimed


def rendered(bench: Bench, claimed: Claimed) -> PendingClip:
    rendering = FixedDurationRenderer(seconds=0).render(claimed.spec, lambda _stage: None)
    return PendingClip(lease=bench.leases.hold(claimed), rendering=rendering)


def stopped(bench: Bench, clip: PendingClip, last_put: str) -> None:
    """Bring an attempt just beyond its put of a kind of object, as one that then dies."""
    put = bench.store.put

    def put_and_die(key: str, *args: object, **kwargs: object) -> object:
        answer = put(key, *args, **kwargs)  # type: ignore[arg-type]
        if key.endswith(last_put):
            raise SystemExit
        return answer

    assert bench.publisher.write_files(clip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.store, "put", put_and_die)
        with pytest.raises(SystemExit):
            bench.publisher.publish(clip)
    bench.leases.drop(clip.lease)


def published(bench: Bench, job: RenderJob) -> JobView:
    """Return the job with its clip; fail unless the store has this one clip of it, whole."""
    view = bench.ledger.jobs.get(job.job_id)
    assert view.state is JobState.SUCCEEDED
    assert view.result is not None
    stem = view.result.key.removesuffix(".mp4")
    manifests = {item.key: json.loads(bench.store.get(item.key)) for item in bench.store.list() if ".json" in item.key}
    assert list(manifests) == [f"{stem}.json"]
    assert manifests[f"{stem}.json"]["clip"]["key"] == view.result.key
    assert manifests[f"{stem}.json"]["spec"]["prompt"] == job.spec.prompt
    assert [item.key for item in bench.store.list()] == [f"{stem}{kind}" for kind in (".jpg", ".json", ".mp4")]
    assert bench.ledger.batches.get("night").account.clips == 1
    wait_for(lambda: not bench.leases._held, what="an end of every lease")
    return view


def until_done(bench: Bench, job: RenderJob) -> None:
    """Do what workers do until the job has ended: claim, adopt or render, deliver."""

    def turn() -> JobView | None:
        bench.ledger.dispatch.reap()
        view = bench.ledger.jobs.get(job.job_id)
        if view.state in (JobState.QUEUED, JobState.DISPATCHED):
            bench.ledger.workers.register(NODE, "tiny", WorkerInfo())
            bench.ledger.workers.ready(NODE, WorkerInfo())
            bench.ledger.dispatch.pump("tiny")
            bench.job_runner().run(job.job_id, bench.ledger.jobs.get(job.job_id).generation)
        return bench.ends(job.job_id)

    wait_for(turn, what="the job's end")


old, new = specs(1)[0], dataclasses.replace(specs(1)[0], prompt="a corrected prompt")


# -- the ledger is wiped


def test_an_attempt_of_a_life_that_was_wiped_can_do_nothing_in_the_next(bench: Bench, admin: redis.Redis) -> None:
    job = submit(bench, old)
    ghost = claim(bench)
    wipe(bench, admin)
    submit(bench, new)
    heir = claim(bench)
    ledger = bench.ledger

    assert (ghost.attempt, heir.attempt) == (1, 1)
    assert ghost.token != heir.token
    assert ledger.attempts.renew(job.job_id, ghost.token, lease_s=60) is Orders.LOST
    assert ledger.attempts.stage(job.job_id, ghost.token, "upload", lease_s=60) is Orders.LOST
    assert ledger.attempts.fail(job.job_id, ghost.token, "bad_output", "black", retryable=False) is None
    assert ledger.attempts.release(job.job_id, ghost.token) is False
    ledger.jobs.cancel(job.job_id)
    assert ledger.attempts.cancelled(job.job_id, ghost.token) is False
    assert ledger.attempts.renew(job.job_id, heir.token, lease_s=60) is Orders.CANCEL


@pytest.mark.parametrize("last_put", [None, ".mp4", ".jpg", ".json"])
def test_a_wrong_clip_of_a_life_that_was_wiped_is_never_published(
    bench: Bench, admin: redis.Redis, last_put: str | None
) -> None:
    """The old attempt stands at any point of its delivery when the corrected file is submitted, and then goes on."""
    submit(bench, old)
    ghost = rendered(bench, claim(bench))
    if last_put:
        stopped(bench, ghost, last_put)
    wipe(bench, admin)
    job = submit(bench, new)
    heir = rendered(bench, claim(bench))

    delivered = bench.publisher.publish(ghost)
    if bench.publisher.publish(heir):
        assert not delivered
    until_done(bench, job)

    assert not delivered
    assert published(bench, job).spec == new


# -- the last second is forgotten


@pytest.mark.parametrize("claim_too", [False, True], ids=["the finish", "claim and finish"])
def test_a_forgotten_finish_is_adopted_so_its_clip_stays_where_it_was_announced(
    bench: Bench, admin: redis.Redis, claim_too: bool
) -> None:
    job = submit(bench, old)
    if claim_too:
        bench.ledger.dispatch.pump("tiny")
        with forgotten(bench, admin):
            assert bench.publisher.publish(rendered(bench, claim_dispatched(bench, job)))
            before = bench.ledger.jobs.get(job.job_id).result
    else:
        claimed = claim(bench, lease_s=0)
        with forgotten(bench, admin):
            assert bench.publisher.publish(rendered(bench, claimed))
            before = bench.ledger.jobs.get(job.job_id).result

    until_done(bench, job)

    assert published(bench, job).result == before


def claim_dispatched(bench: Bench, job: RenderJob) -> Claimed:
    generation = bench.ledger.jobs.get(job.job_id).generation
    claimed = bench.ledger.attempts.claim(job.job_id, generation, NODE, lease_s=600)
    assert isinstance(claimed, Claimed), claimed
    return claimed


@pytest.mark.parametrize("last_put", [None, ".mp4", ".json"])
@pytest.mark.parametrize("first", ["forgotten", "remembered"])
def test_two_holders_of_one_number_publish_one_clip(
    bench: Bench, admin: redis.Redis, first: str, last_put: str | None
) -> None:
    job = submit(bench, old)
    bench.ledger.dispatch.pump("tiny")
    with forgotten(bench, admin):
        ghost = rendered(bench, claim_dispatched(bench, job))
        if last_put:
            stopped(bench, ghost, last_put)
    heir = rendered(bench, claim_dispatched(bench, job))

    if first == "forgotten":
        published_twice = [bench.publisher.publish(ghost), bench.publisher.publish(heir)]
    else:
        published_twice = [bench.publisher.publish(heir), bench.publisher.publish(ghost)]
    until_done(bench, job)

    assert published_twice.count(True) <= 1
    published(bench, job)


def test_a_clip_that_an_attempt_takes_back_is_not_adopted(bench: Bench, admin: redis.Redis) -> None:
    job = submit(bench, old)
    bench.ledger.dispatch.pump("tiny")
    with forgotten(bench, admin):
        ghost = rendered(bench, claim_dispatched(bench, job))
        stopped(bench, ghost, ".json")
    heir = rendered(bench, claim_dispatched(bench, job))
    (clip,) = [item.key for item in bench.store.list() if item.key.endswith(".mp4")]
    # The forgotten one asks whether it may remove its clip, and is frozen before it has.
    assert bench.ledger.attempts.withdraw(job.job_id, clip, ghost.lease.claimed.word)

    assert not bench.publisher.publish(heir)
    bench.publisher.leftovers.store.delete(clip)
    until_done(bench, job)

    assert bench.ledger.jobs.get(job.job_id).result.key != clip
    assert bench.store.head(bench.ledger.jobs.get(job.job_id).result.key) is not None


def test_a_published_clip_is_not_taken_back_by_whoever_lost_it(bench: Bench, admin: redis.Redis) -> None:
    job = submit(bench, old)
    bench.ledger.dispatch.pump("tiny")
    with forgotten(bench, admin):
        ghost = rendered(bench, claim_dispatched(bench, job))
        stopped(bench, ghost, ".json")
    assert bench.publisher.publish(rendered(bench, claim_dispatched(bench, job)))

    assert not bench.publisher.publish(ghost)

    published(bench, job)


def test_a_forgotten_submission_made_again_has_its_clip_already(bench: Bench, admin: redis.Redis) -> None:
    with forgotten(bench, admin):
        submit(bench, old)
        assert bench.publisher.publish(rendered(bench, claim(bench)))
    job = submit(bench, old)

    until_done(bench, job)

    assert published(bench, job).attempts == 1


@pytest.mark.parametrize(
    "damage", ["no video", "other video", "altered video", "no poster", "deep", "huge", "another farm", "other sizes"]
)
def test_what_is_not_the_whole_clip_of_this_job_is_not_adopted(
    bench: Bench, admin: redis.Redis, damage: str, make_bench: Callable[..., Bench]
) -> None:
    job = submit(bench, old)
    bench.ledger.dispatch.pump("tiny")
    with forgotten(bench, admin):
        assert bench.publisher.publish(rendered(bench, claim_dispatched(bench, job)))
        left = bench.ledger.jobs.get(job.job_id).result
    assert left is not None
    stem, put = left.key.removesuffix(".mp4"), bench.store.put
    manifest = json.loads(bench.store.get(f"{stem}.json"))
    if damage == "no video":
        bench.store.delete(left.key)
    elif damage == "other video":
        put(left.key, b"short", content_type="video/mp4", replace=True)
    elif damage == "altered video":
        put(left.key, bytes(left.size_bytes), content_type="video/mp4", replace=True)
    elif damage == "no poster":
        bench.store.delete(f"{stem}.jpg")
    elif damage == "deep":
        put(f"{stem}.json", b"[" * 100_000, content_type="application/json", replace=True)
    elif damage == "huge":
        put(f"{stem}.json", b" " * (MOST_BYTES + 1), content_type="application/json", replace=True)
    else:
        if damage == "another farm":
            manifest["job"]["farm"], manifest["submitted_at"] = "other", "2026-01-01T00:00:00.000+00:00"
        else:
            manifest["clip"]["size_bytes"] = "many"
        put(f"{stem}.json", json.dumps(manifest).encode(), content_type="application/json", replace=True)

    until_done(bench, job)

    result = bench.ledger.jobs.get(job.job_id).result
    assert result is not None
    assert bench.store.head(result.key).sha256 in (None, result.sha256)
    assert (result.key, result.sha256) != (left.key, left.sha256)


@pytest.mark.parametrize("last_put", [None, ".mp4", ".json"])
def test_an_attempt_of_a_higher_number_is_forgotten_too(bench: Bench, admin: redis.Redis, last_put: str | None) -> None:
    job = submit(bench, old)
    bench.ledger.dispatch.pump("tiny")
    with forgotten(bench, admin):
        lost = claim_dispatched(bench, job)
        bench.ledger.attempts.fail(job.job_id, lost.token, "worker_lost", "the host died", retryable=True)
        second = rendered(bench, claim(bench))
        if last_put:
            stopped(bench, second, last_put)
        else:
            assert bench.publisher.publish(second)

    until_done(bench, job)

    published(bench, job)


# -- a worker is parted from the ledger


def test_an_attempt_parted_from_the_ledger_puts_no_manifest_until_it_has_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(bench, old)
    ghost = rendered(bench, claim(bench, lease_s=0))
    assert bench.publisher.write_files(ghost)
    put = bench.store.put

    def put_late(key: str, *args: object, **kwargs: object) -> object:
        if key.endswith(".jpg") and bench.state(job.job_id) is JobState.RUNNING:
            monkeypatch.setattr(bench.store, "put", put)
            bench.ledger.dispatch.reap()
            with pytest.MonkeyPatch.context() as other:
                other.setattr(bench.leases, "lease_s", bench.settings.lease_s)
                until_done(bench, job)  # by another worker, meanwhile
        return put(key, *args, **kwargs)  # type: ignore[arg-type]

    bench.ledger.attempts.renew(job.job_id, ghost.lease.claimed.token, lease_s=0)
    monkeypatch.setattr(bench.leases, "lease_s", 0)
    monkeypatch.setattr(bench.store, "put", put_late)
    delivered = bench.publisher.publish(ghost)

    assert not delivered
    published(bench, job)
