"""Deliveries to stores that show objects late, or answer 200 and keep nothing: a clip is published whole or not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest
import redis

from fixtures.bench import NODE, Bench
from fixtures.s3 import S3Server
from fixtures.s3_front import S3Front, front_of
from fixtures.tcp_proxy import TcpProxy, tcp_proxy
from fixtures.valkey import free_port, wait_for
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import Claimed, WorkerInfo
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.child.renderer import FixedDurationRenderer, OnStage, TestPicture
from reelmill_worker.delivery import publisher
from reelmill_worker.delivery.clip_files import PendingClip
from reelmill_worker.delivery.leftovers import UNSURE_S


@pytest.fixture
def front(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Front]:
    nanio_server.let_in(monkeypatch)
    with front_of(nanio_server) as front:
        yield front


@pytest.fixture
def bench(make_bench: Callable[..., Bench], nanio_server: S3Server, front: S3Front) -> Bench:
    bucket = nanio_server.make_bucket()
    bench = make_bench(store_url=f"s3://{bucket}/farm", s3_endpoint=front.endpoint, preview="webp")
    bench.store.check()
    front.seen.clear()
    return bench


def hand_over(bench: Bench, claimed: Claimed) -> None:
    rendering = FixedDurationRenderer(seconds=0).render(claimed.spec, lambda _stage: None)
    bench.deliveries.hand_over(PendingClip(lease=bench.leases.hold(claimed), rendering=rendering))


def claims(bench: Bench, count: int) -> list[Claimed]:
    answers = [bench.ledger.attempts.claim(*message, NODE, lease_s=15) for message in bench.submit(count)]
    return [answer for answer in answers if isinstance(answer, Claimed)]


def test_a_store_that_shows_objects_late_delays_clips_and_holds_up_none(bench: Bench, front: S3Front) -> None:
    front.late_s = 2.0
    claimed = claims(bench, 8)
    started = time.monotonic()

    for item in claimed:
        hand_over(bench, item)
    views = [wait_for(lambda: bench.ends(item.job_id), what="the clip") for item in claimed]  # noqa: B023 - now

    assert [(view.state, view.attempts) for view in views] == [(JobState.SUCCEEDED, 1)] * 8
    assert len([1 for method, _ in front.seen if method == "PUT"]) == 4 * 8  # nothing went up twice
    assert time.monotonic() - started < 8 * front.late_s  # and no clip waited for another to show
    assert not bench.deliveries.load().spool_bytes


@pytest.mark.parametrize("lost", [".mp4", ".jpg", ".webp", ".json"])
def test_a_clip_is_not_published_while_the_store_keeps_nothing_of_one_of_its_objects(
    bench: Bench, front: S3Front, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "VISIBLE_S", 1.0)
    reported: list[str] = []
    bench.deliveries.on_store_error = reported.append
    front.drops = (lost,)
    (claimed,) = claims(bench, 1)

    hand_over(bench, claimed)
    wait_for(lambda: reported, what="the store's error")
    before = bench.state(claimed.job_id)
    front.drops = ()
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    assert before is JobState.RUNNING
    assert f"{lost}, and does not show it 1 s later" in reported[0]
    assert (view.state, view.attempts) == (JobState.SUCCEEDED, 1)
    assert len(list(bench.store.list("night/"))) == 4


def test_a_clip_that_was_put_again_because_it_showed_too_late_is_published_once(
    bench: Bench, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "VISIBLE_S", 1.0)
    reported: list[str] = []
    bench.deliveries.on_store_error = reported.append
    front.late_s = 600.0
    (claimed,) = claims(bench, 1)

    hand_over(bench, claimed)
    wait_for(lambda: reported, what="the store's error")
    front.late_s = 0.0  # now it shows what it had taken all the time
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")
    wait_for(lambda: reported[-1] == "", what="the end of the store's error")

    assert (view.state, view.attempts) == (JobState.SUCCEEDED, 1)
    assert [item.key.rpartition(".")[2] for item in bench.store.list("night/")] == ["jpg", "json", "mp4", "webp"]
    assert not bench.leases._held
    assert not list(bench.publisher.writer.spool.iterdir())


@pytest.mark.parametrize("lost", [".jpg", ".json"])
def test_a_store_that_tells_neither_hash_nor_etag_is_no_reason_to_take_our_own_clip_for_anothers(
    bench: Bench, front: S3Front, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "VISIBLE_S", 1.0)
    front.hides = ("etag", "x-amz-meta-sha256")
    bench.store.check()
    reported: list[str] = []
    bench.deliveries.on_store_error = reported.append
    front.drops = (lost,)
    (claimed,) = claims(bench, 1)

    hand_over(bench, claimed)
    wait_for(lambda: reported or bench.state(claimed.job_id) is JobState.QUEUED, what="the store's error")
    front.drops = ()
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    assert (view.state, view.attempts) == (JobState.SUCCEEDED, 1)
    assert len(list(bench.store.list("night/"))) == 4


@pytest.mark.parametrize("event", ["lost", "cancelled"])
@pytest.mark.parametrize("after", [".mp4", ".jpg", ".json"])
def test_an_attempt_that_is_stopped_between_two_puts_leaves_nothing(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, event: str, after: str
) -> None:
    bench = make_bench()
    claimed = bench.claim()
    put = bench.store.put

    def put_then_stop(key: str, *args: object, **kwargs: object) -> object:
        answer = put(key, *args, **kwargs)  # type: ignore[arg-type]
        if key.endswith(after) and event == "lost":
            bench.ledger.workers.register(
                NODE, "tiny", WorkerInfo()
            )  # its process is another one by now: the lease is taken back
        elif key.endswith(after):
            bench.ledger.jobs.cancel(claimed.job_id)
        return answer

    monkeypatch.setattr(bench.store, "put", put_then_stop)
    hand_over(bench, claimed)
    wait_for(lambda: not bench.deliveries.load().deliveries, what="the end of the attempt")

    stored = event == "cancelled" and after == ".json"  # a stored clip wins over a request to cancel
    ends = {"lost": JobState.QUEUED, "cancelled": JobState.SUCCEEDED if stored else JobState.CANCELLED}
    assert bench.state(claimed.job_id) is ends[event]
    assert len(list(bench.store.list())) == (3 if stored else 0)
    assert not bench.leases._held
    assert not list(bench.publisher.writer.spool.iterdir())


@pytest.mark.parametrize("shown", ["never", "after the render"])
def test_what_a_dead_attempt_stored_is_not_doubled_though_the_store_shows_it_late(
    bench: Bench, front: S3Front, shown: str
) -> None:
    (lost,) = claims(bench, 1)
    rendering = FixedDurationRenderer(seconds=0).render(lost.spec, lambda _stage: None)
    dead = PendingClip(lease=bench.leases.hold(lost), rendering=rendering)
    assert bench.publisher.write_files(dead)
    assert dead.files is not None
    bench.publisher._upload(dead, dead.files)  # and dies before its finish
    bench.leases.drop(dead.lease)
    bench.ledger.attempts.fail(lost.job_id, lost.token, "worker_lost", "the host died", retryable=True)
    front._put_at = dict.fromkeys(front._put_at, math.inf)
    (message,) = bench.ledger.dispatch.pump("tiny")

    class Renderer(FixedDurationRenderer):
        def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
            if shown == "after the render":
                front._put_at.clear()
            return super().render(spec, on_stage)

    answer = bench.job_runner(Renderer(seconds=0)).run(message.job_id, message.generation)
    view = wait_for(lambda: bench.ends(lost.job_id), what="the clip")
    front._put_at.clear()

    assert answer["outcome"] == "rendered"
    assert (view.state, view.attempts) == (JobState.SUCCEEDED, 2)
    assert {item.key.partition(".")[2] for item in bench.store.list("night/")} == {
        "a2.jpg", "a2.json", "a2.mp4", "a2.webp"
    }  # fmt: skip


@contextmanager
def read_only(server: ValkeyServer, _proxy: TcpProxy) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as admin:
        admin.replicaof("127.0.0.1", free_port())
        yield
        admin.replicaof("NO", "ONE")


@contextmanager
def away(_server: ValkeyServer, proxy: TcpProxy) -> Iterator[None]:
    proxy.down()
    yield
    proxy.up()


@pytest.fixture
def ledger_proxy(own_valkey: ValkeyServer) -> Iterator[TcpProxy]:
    with tcp_proxy(own_valkey.port) as proxy:
        yield proxy


@pytest.mark.parametrize("outage", [read_only, away])
def test_no_manifest_is_stored_until_the_ledger_has_confirmed_the_lease(
    own_valkey: ValkeyServer,
    ledger_proxy: TcpProxy,
    make_bench: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    outage: Callable[[ValkeyServer, TcpProxy], AbstractContextManager[None]],
) -> None:
    bench = make_bench(redis_url=own_valkey.url.replace(f":{own_valkey.port}/", f":{ledger_proxy.port}/"))
    claimed = bench.claim()
    put, ledger_is_lost, answers = bench.store.put, threading.Event(), threading.Event()

    def put_then_wait(key: str, *args: object, **kwargs: object) -> object:
        answer = put(key, *args, **kwargs)  # type: ignore[arg-type]
        if key.endswith(".jpg"):
            answers.set()
            assert ledger_is_lost.wait(60)
        return answer

    monkeypatch.setattr(bench.store, "put", put_then_wait)
    hand_over(bench, claimed)
    assert answers.wait(60)
    with outage(own_valkey, ledger_proxy):
        ledger_is_lost.set()
        wait_for(lambda: not bench.leases._reachable, what="a renewal that fails")
        stored = [item.key.rpartition(".")[2] for item in bench.store.list()]
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    assert stored == ["jpg", "mp4"]
    assert (view.state, view.attempts) == (JobState.SUCCEEDED, 1)
    wait_for(lambda: not bench.leases._held, what="the end of the lease")


@pytest.mark.parametrize(("steady_s", "listings"), [(UNSURE_S, 1), (UNSURE_S - 1, 2)])
def test_a_clip_costs_its_puts_and_one_look(bench: Bench, front: S3Front, steady_s: float, listings: int) -> None:
    """It costs a second listing while the ledger's server has just started and may have forgotten attempts."""
    claimed = replace(claims(bench, 1)[0], steady_s=steady_s)

    hand_over(bench, claimed)
    wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    # nanio knows no conditional put, so each of video, poster and preview is looked for before it goes up.
    looks = [method for method, path in front.seen if method != "PUT"]
    assert looks == ["HEAD"] * 3 + ["GET"] * listings


def test_a_clip_that_waits_to_be_shown_stops_when_its_job_is_cancelled(bench: Bench, front: S3Front) -> None:
    front.late_s = 600.0
    (claimed,) = claims(bench, 1)
    hand_over(bench, claimed)
    wait_for(lambda: bench.deliveries._unseen, what="a clip that is not shown")

    bench.ledger.jobs.cancel(claimed.job_id)
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the end")

    assert view.state is JobState.CANCELLED
    wait_for(lambda: not bench.deliveries.load().deliveries, what="nothing under way")
