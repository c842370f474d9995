"""Redis users with exactly the documented rights run a farm; a missing right is reported with what to do."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from fixtures.cli import program, started
from fixtures.farm import Farm, specs
from fixtures.redis_users import url_of
from fixtures.s3 import free_port
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer, server_program
from reelmill_worker.child.embedding_cache import open_embedding_cache

pytestmark = pytest.mark.services

LOGIN = {"FLOWER_BASIC_AUTH": "me:a-long-password"}


def test_exactly_these_rights_run_a_farm_with_flower_and_a_producer(
    make_farm: Callable[..., Farm], own_valkey: ValkeyServer, admin: redis.Redis, tmp_path: Path
) -> None:
    farm = make_farm(renderer="fixed:0.05", redis_url=url_of(own_valkey, "full"), embedding_cache="redis")
    farm.start()
    env = farm.settings.to_env()
    with started("flower", "--port", str(free_port()), env=env | LOGIN) as flower:
        flower.wait_for_line("Flower listens")
        (tmp_path / "list.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\n")
        ran = [program(*args, env=env) for args in (("submit", str(tmp_path / "list.csv"), "--wait"), ("doctor",))]
        farm.submit("night", specs(2))
        farm.wait_done("night")
        wait_for(lambda: admin.pubsub_numpat() >= 2, what="Flower and the worker on their channels")

    assert [one.status for one in ran] == [0, 0], ran
    assert admin.acl_log() == []  # nothing was denied to anybody


def test_these_rights_do_for_text_embeddings_in_redis_too(
    settings: Settings, own_valkey: ValkeyServer, admin: redis.Redis
) -> None:
    cache = open_embedding_cache(
        dataclasses.replace(settings, redis_url=url_of(own_valkey, "full"), embedding_cache="redis")
    )
    assert cache is not None

    cache.put("fox", b"an embedding")

    assert cache.get("fox") == b"an embedding"
    assert admin.acl_log() == []


def test_worker_flower_and_doctor_tell_of_a_missing_right(
    settings: Settings, own_valkey: ValkeyServer, admin: redis.Redis
) -> None:
    admin.execute_command("ACL", "SETUSER", "less", "resetchannels", "-evalsha")
    env = settings.to_env() | LOGIN | {"REELMILL_REDIS_URL": url_of(own_valkey, "less")}

    ran = [program(*args, env=env) for args in (("worker", "--devices", "cpu"), ("flower",), ("doctor",))]

    assert [one.status for one in ran] == [78, 78, 78]
    for one in ran:
        message = " ".join((one.out + one.err).split())
        assert re.search(
            r"run ACL SETUSER <user> &reelmill:.*celery\.pidbox &reelmill:.*celeryev/\* \+evalsha", message
        ), message


@contextmanager
def odd_server(folder: Path, *options: str) -> Iterator[str]:
    """A server that is set up in its own way; yields its URL once it listens."""
    port = free_port()
    command = [server_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                wait_for(lambda: is_there(client), what="the server")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def is_there(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (("--cluster-enabled", "yes"), "runs in cluster mode, which Celery's queues cannot use"),
        (("--rename-command", "FUNCTION", "''"), "does not know FUNCTION"),
        (("--rename-command", "FCALL", "other"), "does not know FCALL"),
        (("--rename-command", "BRPOP", "''"), "does not know BRPOP"),
        (("--rename-command", "INFO", "''"), "does not know INFO"),
    ],
    ids=["cluster", "FUNCTION", "FCALL", "BRPOP", "INFO"],
)
def test_a_server_that_cannot_hold_a_farm_ends_a_workers_start_with_one_message(
    settings: Settings, tmp_path: Path, options: tuple[str, ...], advice: str
) -> None:
    with odd_server(tmp_path, *options) as url:
        env = settings.to_env() | {"REELMILL_REDIS_URL": url}
        worker, doctor = program("worker", "--devices", "cpu", env=env), program("doctor", env=env)

    assert (worker.status, advice in worker.err, worker.err.count("\n")) == (78, True, 1), worker.err
    assert advice in " ".join((doctor.out + doctor.err).split())


def test_a_right_that_is_taken_away_while_a_worker_runs_is_waited_for(
    make_farm: Callable[..., Farm], own_valkey: ValkeyServer, admin: redis.Redis
) -> None:
    farm = make_farm(renderer="fixed:0.05", redis_url=url_of(own_valkey, "less"))
    worker = farm.start()

    admin.execute_command("ACL", "SETUSER", "less", "-brpop")
    wait_for(lambda: worker.events("broker.lost"), what="the loss")
    admin.execute_command("ACL", "SETUSER", "less", "+brpop")
    farm.submit("night", specs(2))
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 2
    assert (len(worker.events("broker.lost")), len(worker.events("parent.started"))) == (1, 1)
