"""A Redis that answers and refuses ends no process of a worker: the model stays, and work goes on when it can."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis

from fixtures.farm import Farm, specs
from fixtures.valkey import free_port, wait_for
from reelmill_common.jobs import JobState
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = pytest.mark.services

REFUSES_S = 2.0
"""Seconds for which the server refuses: each part of a worker meets it several times."""

Refusal = Callable[[redis.Redis, ValkeyServer], AbstractContextManager[None]]


@contextmanager
def configured(admin: redis.Redis, name: str, value: str) -> Iterator[None]:
    before = admin.config_get(name)[name]
    admin.config_set(name, value)
    yield
    admin.config_set(name, before)


def full(admin: redis.Redis, _server: ValkeyServer) -> AbstractContextManager[None]:
    return configured(admin, "maxmemory", "1")


def without_replicas(admin: redis.Redis, _server: ValkeyServer) -> AbstractContextManager[None]:
    return configured(admin, "min-replicas-to-write", "1")


@contextmanager
def replica(admin: redis.Redis, _server: ValkeyServer) -> Iterator[None]:
    admin.replicaof("127.0.0.1", free_port())
    yield
    admin.replicaof("NO", "ONE")


@contextmanager
def lost_replica(admin: redis.Redis, server: ValkeyServer) -> Iterator[None]:
    with configured(admin, "replica-serve-stale-data", "no"), replica(admin, server):
        yield


@contextmanager
def full_disk(admin: redis.Redis, server: ValkeyServer) -> Iterator[None]:
    """Its last save failed: a folder is where the file should go."""
    place = server.folder / "dump.rdb"
    place.mkdir()
    with configured(admin, "save", "3600 1"):
        admin.bgsave()
        wait_for(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", what="a failed save")
        yield
    place.rmdir()


@contextmanager
def busy(admin: redis.Redis, _server: ValkeyServer) -> Iterator[None]:
    with configured(admin, "busy-reply-threshold", "100"):
        loop = threading.Thread(target=spin, args=(admin,), daemon=True)
        loop.start()
        yield
        admin.script_kill()
        loop.join()


def spin(admin: redis.Redis) -> None:
    with contextlib.suppress(redis.RedisError):
        admin.eval("while true do end", 0)


def is_logged_once(events: list[dict[str, object]], refusal: Refusal) -> bool:
    """Return whether something was logged and no error twice; a server that becomes a replica refuses in two ways."""
    errors = [event["error"] for event in events]
    assert len(set(errors)) == len(errors), refusal
    return bool(errors)


REFUSALS = (full, without_replicas, lost_replica, full_disk, busy)


def test_a_server_that_refuses_for_a_while_costs_no_process_and_no_clip_and_is_told_of_once(
    make_farm: Callable[..., Farm], own_valkey: ValkeyServer
) -> None:
    farm = make_farm(renderer="fixed:0.1", redis_url=own_valkey.url, lease_s=8.0)
    worker = farm.start()
    child = farm.child_pid(worker)
    jobs: list[str] = []

    for refusal in REFUSALS:
        jobs += farm.submit(refusal.__name__, specs(25))
        farm.wait_count(refusal.__name__, JobState.SUCCEEDED, 3)
        with redis.Redis.from_url(own_valkey.url) as admin, refusal(admin, own_valkey):
            until = time.monotonic() + REFUSES_S
            wait_for(lambda until=until: time.monotonic() > until, what="the end of the refusal")
        view = farm.wait_done(refusal.__name__, timeout_s=30.0)

        assert view.counts[JobState.SUCCEEDED] == 25, refusal
        assert farm.child_pid(worker) == child, refusal
        assert len(worker.events("parent.started")) == 1, refusal
        assert is_logged_once(worker.events("tick.failed"), refusal)
        assert is_logged_once(worker.events("broker.lost"), refusal)
        assert "Traceback" not in worker.log.read_text(), refusal
    for refusal in REFUSALS:
        farm.assert_stored_once(refusal.__name__, jobs[:25])
        jobs = jobs[25:]
