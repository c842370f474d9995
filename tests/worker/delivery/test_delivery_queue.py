"""Deliveries: clips reach the store beside the next render, wait for a store that is down, and never twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from common.text.test_untrusted_json import HOSTILE
from fixtures.bench import NODE, Bench
from fixtures.s3 import S3Server
from fixtures.tcp_proxy import tcp_proxy
from fixtures.valkey import wait_for
from reelmill_common.archive import due, prune
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Claimed, Result, WorkerInfo
from reelmill_worker.child.renderer import FixedDurationRenderer
from reelmill_worker.delivery.clip_files import PendingClip


def pending_clip(bench: Bench, claimed: Claimed) -> PendingClip:
    rendering = FixedDurationRenderer(seconds=0).render(claimed.spec, lambda _stage: None)
    return PendingClip(lease=bench.leases.hold(claimed), rendering=rendering)


def claims(bench: Bench, count: int) -> list[Claimed]:
    answers = [bench.ledger.attempts.claim(*message, NODE, lease_s=5) for message in bench.submit(count)]
    return [answer for answer in answers if isinstance(answer, Claimed)]


def block(bench: Bench) -> Callable[[], None]:
    """Put a file where the store's folder should be, so that even root cannot write; return how to undo it."""
    root = Path(bench.settings.store_url.removeprefix("file://"))
    root.parent.mkdir(parents=True, exist_ok=True)
    if root.exists():
        root.rename(root.with_name("away"))
    root.write_text("in the way")

    def unblock() -> None:
        root.unlink()

    return unblock


def again(bench: Bench) -> Claimed:
    """Dispatch what waits, unless that was done, and claim it."""
    (job,) = bench.ledger.jobs.page("night")
    bench.ledger.dispatch.pump("tiny", depth=10)
    generation = bench.ledger._server.read([("HGET", bench.ledger._keys.job(job.job_id), "g")])[0]
    claimed = bench.ledger.attempts.claim(job.job_id, int(generation), NODE, lease_s=bench.settings.lease_s)
    assert isinstance(claimed, Claimed), claimed
    return claimed


def deliver(bench: Bench, claimed: Claimed) -> Result:
    bench.deliveries.hand_over(pending_clip(bench, claimed))
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the delivery")
    assert view.result is not None, view.error
    return view.result


def test_a_delivered_clip_has_its_poster_and_a_manifest_that_names_it(bench: Bench) -> None:
    claimed = bench.claim()

    bench.deliveries.hand_over(pending_clip(bench, claimed))
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    assert view.result is not None
    keys = [item.key for item in bench.store.list("night/")]
    stem = view.result.key.removesuffix(".mp4")
    manifest = json.loads(bench.store.get(f"{stem}.json"))
    assert keys == [f"{stem}.jpg", f"{stem}.json", f"{stem}.mp4"]
    assert manifest["job"]["job_id"] == claimed.job_id
    assert manifest["clip"]["key"] == view.result.key
    assert {"mux", "upload"} <= view.result.seconds.keys()
    wait_for(lambda: not list(bench.publisher.writer.spool.iterdir()), what="an empty spool")


def test_there_is_room_for_as_many_clips_as_the_limit_says(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(max_deliveries=1)
    claimed = bench.claim()

    with bench.deliveries._changed:  # hold the thread back, so that the clip is under way for as long as we look
        bench.deliveries.hand_over(pending_clip(bench, claimed))
        room_at_once = bench.deliveries._has_room()

    assert not room_at_once
    assert bench.deliveries.wait_for_room(60)


def test_a_later_attempt_stores_under_its_own_keys_and_removes_what_the_earlier_one_left(bench: Bench) -> None:
    first = bench.claim()
    bench.store.put("night/0000-" + first.job_id[:8] + ".mp4", b"half", content_type="video/mp4")
    bench.ledger.attempts.release(first.job_id, first.token)
    (message,) = [(item.job_id, item.generation) for item in bench.ledger.dispatch.pump("tiny")]
    second = bench.ledger.attempts.claim(*message, NODE, lease_s=5)
    assert isinstance(second, Claimed)

    bench.deliveries.hand_over(pending_clip(bench, second))
    view = wait_for(lambda: bench.ends(first.job_id), what="the clip")

    assert view.result is not None
    assert view.result.key.endswith(".a2.mp4")
    assert len(list(bench.store.list("night/"))) == 3


def test_an_attempt_that_lost_its_lease_publishes_nothing(bench: Bench) -> None:
    claimed = bench.claim()
    loser = pending_clip(bench, claimed)
    assert bench.publisher.write_files(loser)

    bench.ledger.workers.register(NODE, "tiny", WorkerInfo())
    delivered = bench.publisher.publish(loser)

    assert not delivered
    assert list(bench.store.list()) == []
    assert bench.state(claimed.job_id) is JobState.QUEUED


def test_a_clip_refused_at_the_last_step_is_taken_out_of_the_store_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = bench.claim()
    loser = pending_clip(bench, claimed)
    put = bench.store.put

    def put_then_lose(key: str, *args: object, **kwargs: object) -> object:
        answer = put(key, *args, **kwargs)  # type: ignore[arg-type]
        if key.endswith(".json"):
            bench.ledger.workers.register(NODE, "tiny", WorkerInfo())
        return answer

    monkeypatch.setattr(bench.store, "put", put_then_lose)
    bench.deliveries.hand_over(loser)

    wait_for(lambda: bench.state(claimed.job_id) is JobState.QUEUED, what="the loss")
    wait_for(lambda: not list(bench.store.list()), what="an empty store")


def test_a_job_cancelled_before_its_upload_is_not_stored(bench: Bench) -> None:
    claimed = bench.claim()
    cancelled = pending_clip(bench, claimed)
    assert bench.publisher.write_files(cancelled)

    bench.ledger.jobs.cancel(claimed.job_id)
    delivered = bench.publisher.publish(cancelled)

    assert not delivered
    assert bench.state(claimed.job_id) is JobState.CANCELLED
    assert list(bench.store.list()) == []


def test_a_store_that_refuses_us_stops_claiming_and_loses_no_clip(bench: Bench) -> None:
    reported: list[str] = []
    bench.deliveries.on_store_error = reported.append
    unblock = block(bench)
    claimed = bench.claim()

    bench.deliveries.hand_over(pending_clip(bench, claimed))
    wait_for(lambda: reported, what="the store's error")
    has_room = bench.deliveries.wait_for_room(0.1)
    unblock()
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    assert "store:" in reported[0]
    assert not has_room
    assert view.state is JobState.SUCCEEDED
    assert bench.deliveries.wait_for_room(60)
    wait_for(lambda: reported[-1] == "", what="the end of the store's error")


def test_a_store_that_refuses_us_is_asked_again_though_the_clip_that_waited_for_it_was_cancelled(bench: Bench) -> None:
    reported: list[str] = []
    bench.deliveries.on_store_error = reported.append
    unblock = block(bench)
    claimed = bench.claim()
    bench.deliveries.hand_over(pending_clip(bench, claimed))
    wait_for(lambda: reported, what="the store's error")

    bench.ledger.jobs.cancel(claimed.job_id)
    wait_for(lambda: bench.ends(claimed.job_id), what="the end of the only clip")
    unblock()

    wait_for(lambda: bench.deliveries.wait_for_room(0.1), timeout_s=30, what="room for a clip that asks the store")
    (message,) = bench.submit(1, batch="next")
    following = bench.ledger.attempts.claim(*message, NODE, lease_s=bench.settings.lease_s)
    assert isinstance(following, Claimed)
    bench.deliveries.hand_over(pending_clip(bench, following))
    assert wait_for(lambda: bench.ends(following.job_id), what="the next clip").state is JobState.SUCCEEDED
    wait_for(lambda: reported[-1] == "", what="the end of the store's error")


def test_what_cannot_be_stored_before_the_end_is_given_back_unpunished(bench: Bench) -> None:
    block(bench)
    given = claims(bench, 2)
    for claimed in given:
        bench.deliveries.hand_over(pending_clip(bench, claimed))

    left = bench.deliveries.close(1.0)

    assert left == 2
    assert [bench.state(claimed.job_id) for claimed in given] == [JobState.QUEUED] * 2
    assert list(bench.publisher.writer.spool.iterdir()) == []


def test_a_clip_that_cannot_be_muxed_fails_its_attempt(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(video_codec="no_such_codec")
    claimed = bench.claim()

    bench.deliveries.hand_over(pending_clip(bench, claimed))
    wait_for(lambda: bench.state(claimed.job_id) is JobState.QUEUED, what="the failure")

    error = bench.ledger.jobs.get(claimed.job_id).error
    assert error is not None
    assert "no_such_codec" in error["message"]


def test_a_foreign_clip_under_the_same_key_is_not_overwritten(bench: Bench) -> None:
    claimed = bench.claim()
    key = f"night/0000-{claimed.job_id[:8]}.mp4"
    bench.store.put(key, b"another program's", content_type="video/mp4")

    bench.deliveries.hand_over(pending_clip(bench, claimed))
    wait_for(lambda: bench.state(claimed.job_id) is JobState.QUEUED, what="the failure")
    error = bench.ledger.jobs.get(claimed.job_id).error
    bench.deliveries.hand_over(pending_clip(bench, again(bench)))
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the second attempt")

    assert error is not None
    assert error["code"] == "clip_exists"
    assert view.result is not None
    assert view.result.key == f"night/0000-{claimed.job_id[:8]}.a2.mp4"
    assert bench.store.get(key) == b"another program's"


def test_what_was_made_before_a_prune_is_not_taken_for_a_leftover(bench: Bench) -> None:
    before = deliver(bench, bench.claim())
    list(prune(bench.ledger, bench.store, due(bench.ledger, 0, batch="night")))
    bench.submit()
    lost = again(bench)
    bench.ledger.attempts.fail(lost.job_id, lost.token, "worker_lost", "the host died", retryable=True)

    after = deliver(bench, again(bench))

    assert (before.key, after.key) == tuple(f"night/0000-{lost.job_id[:8]}{mark}.mp4" for mark in ("", ".a3"))
    assert bench.store.head(before.key) is not None
    assert bench.store.head(before.key.replace(".mp4", ".json")) is not None


def test_a_clip_of_another_farm_is_not_taken_for_a_leftover(bench: Bench, make_bench: Callable[..., Bench]) -> None:
    other = make_bench(farm="other")
    theirs = deliver(other, other.claim())
    lost = bench.claim()
    bench.ledger.attempts.fail(lost.job_id, lost.token, "worker_lost", "the host died", retryable=True)

    ours = deliver(bench, again(bench))

    assert ours.key == theirs.key.replace(".mp4", ".a2.mp4")
    assert bench.store.head(theirs.key) is not None


def test_what_a_lost_attempt_stored_is_removed(bench: Bench) -> None:
    lost = bench.claim()
    files = bench.publisher.writer.write(lost, FixedDurationRenderer(seconds=0).render(lost.spec, lambda _stage: None))
    dead = PendingClip(lease=bench.leases.hold(lost), rendering=None, files=files)
    left = bench.publisher._upload(dead, files)  # and dies before its finish
    bench.ledger.attempts.fail(lost.job_id, lost.token, "worker_lost", "the host died", retryable=True)

    stored = deliver(bench, again(bench))

    assert [item.key for item in bench.store.list() if item.key.endswith(".mp4")] == [stored.key]
    assert bench.store.head(left.key.replace(".mp4", ".json")) is None


def lease_end(bench: Bench, claimed: Claimed) -> float:
    (ends_ms,) = bench.ledger._server.read([("ZSCORE", f"{bench.ledger._keys.prefix}leases", claimed.job_id)])
    return float(ends_ms) / 1000


def test_threads_outlive_what_nobody_foresaw(bench: Bench) -> None:
    broken = claims(bench, bench.settings.max_deliveries + 1)
    for claimed in broken:  # every call about these fails in a way that has no name
        bench.ledger._server._redis.delete(bench.ledger._keys.job(claimed.job_id))
        bench.ledger._server._redis.set(bench.ledger._keys.job(claimed.job_id), "no hash")
        bench.deliveries.hand_over(pending_clip(bench, claimed))
    wait_for(lambda: not bench.deliveries.load().deliveries, what="the end of the broken ones")
    bench.leases.hold(broken[0])  # renewing it fails too
    (message,) = bench.submit(1, batch="next")
    sound = bench.ledger.attempts.claim(*message, NODE, lease_s=bench.settings.lease_s)
    assert isinstance(sound, Claimed)
    lease = bench.leases.hold(sound)

    first_end = lease_end(bench, sound)
    wait_for(lambda: bench.ledger.timetable.now().timestamp() > first_end, what="its first end")
    assert lease_end(bench, sound) > bench.ledger.timetable.now().timestamp()
    rendering = FixedDurationRenderer(seconds=0).render(sound.spec, lambda _stage: None)
    bench.deliveries.hand_over(PendingClip(lease=lease, rendering=rendering))

    assert wait_for(lambda: bench.ends(sound.job_id), what="the clip").state is JobState.SUCCEEDED


def test_a_preview_is_stored_beside_the_clip_if_it_is_asked_for(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(preview="webp")
    claimed = bench.claim()

    bench.deliveries.hand_over(pending_clip(bench, claimed))

    wait_for(lambda: bench.ends(claimed.job_id), what="the clip in the store")
    stored = [found.key.rpartition(".")[2] for found in bench.store.list()]
    assert stored == ["jpg", "json", "mp4", "webp"]


def test_the_manifest_names_the_encoder(bench: Bench) -> None:
    claimed = bench.claim()

    bench.deliveries.hand_over(pending_clip(bench, claimed))

    done = wait_for(lambda: bench.ends(claimed.job_id), what="the clip in the store")
    manifest = json.loads(bench.store.get(done.result.key.replace(".mp4", ".json")))
    assert manifest["encoder"] == {"codec": "libx264", "preset": "veryfast", "crf": 18, "threads": 0}


def test_claiming_stops_when_the_spool_is_full_and_resumes_by_itself(
    make_bench: Callable[..., Bench], nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)
    with tcp_proxy(int(nanio_server.endpoint.rpartition(":")[2])) as proxy:
        place = {"store_url": f"s3://{nanio_server.bucket}/spool", "s3_endpoint": f"http://127.0.0.1:{proxy.port}"}
        bench = make_bench(**place)
        bench.deliveries.spool_bytes = 1  # the first clip that waits for the store fills it
        claimed = bench.claim()

        proxy.down()
        bench.deliveries.hand_over(pending_clip(bench, claimed))
        wait_for(lambda: not bench.deliveries.wait_for_room(0), what="a full spool")
        proxy.up()
        resumed = bench.deliveries.wait_for_room(60)

        assert resumed
        view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")
        assert (view.state, view.attempts) == (JobState.SUCCEEDED, 1)


@pytest.mark.parametrize("name", ["brackets without end", "an infinite number", "more than is read", "cut off"])
def test_an_untrusted_manifest_under_an_earlier_attempts_key_fails_no_job(bench: Bench, name: str) -> None:
    lost = bench.claim()
    key = f"night/0000-{lost.job_id[:8]}.json"
    bench.store.put(key, HOSTILE[name], content_type="application/json")
    bench.ledger.attempts.fail(lost.job_id, lost.token, "worker_lost", "the host died", retryable=True)

    stored = deliver(bench, again(bench))

    assert stored.key.endswith(".a2.mp4")
    assert bench.store.get(key) == HOSTILE[name]  # not ours to remove
