"""A message that the broker lost is missed within seconds, and one that is there is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from common.ledger_steps import LANE, WORKER, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common import broker
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, WorkerInfo, dispatch
from reelmill_common.settings import Settings


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = broker.make_app(settings)
    yield app
    app.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for each message at once, and as often as asked."""
    monkeypatch.setattr(dispatch, "MISSED_S", 0.0)
    monkeypatch.setattr(dispatch, "LOOK_APART_S", 0.001)


def send(ledger: Ledger, app: Celery, settings: Settings, count: int) -> list[str]:
    ids = submit(ledger, "night", count)
    start_worker(ledger)
    assert broker.pump(ledger, app, settings, LANE) == count
    return ids


def fetch(settings: Settings, client: redis.Redis) -> None:
    """Move a message to where those are that a worker has fetched, as kombu does it."""
    queues, unacked = broker.lists(settings, LANE), f"reelmill:{settings.farm}:celery:unacked"
    message = next(text for key in queues if (text := client.rpop(key)))
    client.hset(unacked, "tag", f'[{message}, "", ""]')


def test_messages_that_are_in_their_queue_are_left_alone(ledger: Ledger, app: Celery, settings: Settings) -> None:
    ids = send(ledger, app, settings, 2)

    assert broker.reconcile(ledger, settings) == 0
    assert {ledger.jobs.get(job_id).state for job_id in ids} == {JobState.DISPATCHED}


def test_a_message_that_is_nowhere_is_sent_again(
    ledger: Ledger, app: Celery, settings: Settings, client: redis.Redis
) -> None:
    ids = send(ledger, app, settings, 2)
    client.delete(*broker.lists(settings, LANE))

    assert broker.reconcile(ledger, settings) == 2

    assert broker.pump(ledger, app, settings, LANE) == 2
    assert [ledger.jobs.get(job_id).generation for job_id in ids] == [2, 2]
    assert ledger.dispatch.messages(broker.lists(settings, LANE)) == 2


def test_a_message_that_a_worker_has_fetched_is_left_alone_until_a_worker_is_lost(
    ledger: Ledger, app: Celery, settings: Settings, client: redis.Redis
) -> None:
    (job_id,) = send(ledger, app, settings, 1)
    fetch(settings, client)
    assert broker.reconcile(ledger, settings) == 0

    ledger.workers.register(WORKER, LANE, WorkerInfo())
    # Looks are a millisecond apart, and this one may come sooner after the first.
    missed = wait_for(lambda: broker.reconcile(ledger, settings), what="the message missed")

    assert missed == 1
    assert ledger.jobs.get(job_id).state is JobState.QUEUED


def test_the_farm_looks_once_in_a_while_not_once_a_worker(
    ledger: Ledger, app: Celery, settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(ledger, app, settings, 2)
    monkeypatch.setattr(dispatch, "LOOK_APART_S", 600.0)
    broker.reconcile(ledger, settings)
    client.delete(*broker.lists(settings, LANE))

    assert broker.reconcile(ledger, settings) == 0


@pytest.mark.parametrize(
    "sent_ms",
    [
        pytest.param([1000 + number for number in range(10)], id="one by one"),
        pytest.param([1000] * 10, id="in the same millisecond"),
        pytest.param([1000, 1000, 1001, 1001, 1001, 1001, 1001, 1001, 1001, 1002], id="mixed"),
    ],
)
@pytest.mark.parametrize("page", [1, 3, 10])
def test_jobs_that_fill_several_pages_are_all_missed_in_one_look(
    ledger: Ledger,
    app: Celery,
    settings: Settings,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    sent_ms: list[int],
    page: int,
) -> None:
    monkeypatch.setattr(dispatch, "_LOOK_PAGE", page)
    monkeypatch.setattr(dispatch, "LOOK_APART_S", 600.0)
    ids = submit(ledger, "night", 10)
    for number in range(5):
        start_worker(ledger, f"gpu{number}@test")
    assert broker.pump(ledger, app, settings, LANE) == 10
    client.zadd(f"reelmill:{{{settings.farm}}}:sent", dict(zip(ids, sent_ms, strict=True)))
    client.delete(*broker.lists(settings, LANE))

    assert broker.reconcile(ledger, settings) == 10
