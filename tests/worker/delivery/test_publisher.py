"""Deliveries to stores that show objects late, or answer 200 and keep nothing: a clip is published whole or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fixtures.bench import NODE, Bench
from fixtures.s3 import S3Server
from fixtures.s3_front import S3Front, front_of
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Claimed
from reelmill_worker.child.renderer import FixedDurationRenderer
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
    told: list[str] = []
    bench.deliveries.on_trouble = told.append
    front.drops = (lost,)
    (claimed,) = claims(bench, 1)

    hand_over(bench, claimed)
    wait_for(lambda: told, what="word of the trouble")
    before = bench.state(claimed.job_id)
    front.drops = ()
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")

    assert before is JobState.RUNNING
    assert f"{lost}, and does not show it 1 s later" in told[0]
    assert (view.state, view.attempts) == (JobState.SUCCEEDED, 1)
    assert len(list(bench.store.list("night/"))) == 4


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
