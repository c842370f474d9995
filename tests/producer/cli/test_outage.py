"""Commands while Redis is frozen, loads, or changes its role: they answer within seconds, and those that wait go on."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from common.ledger_steps import make_jobs
from fixtures.cli import Cli, program, started
from fixtures.valkey import free_port, wait_for
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = pytest.mark.services

PROMPT_S = 5.0
"""Most seconds until a person hears something, without what Python takes to start on a loaded machine."""


@pytest.fixture
def alone(settings: Settings, own_valkey: ValkeyServer) -> Settings:
    """A farm on a server of its own, with a batch that waits."""
    found = dataclasses.replace(settings, redis_url=own_valkey.url)
    with Ledger.connect(found) as ledger:
        ledger.batches.submit(Batch(name="night"), make_jobs("night", 2))
    return found


@contextmanager
def frozen(server: ValkeyServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("cancel", "night"),
        ("doctor",),
        ("render", "a fox", "--no-wait"),
        ("webhook", "list"),
    ],
    ids=lambda args: str(args[0]),
)
def test_a_frozen_server_is_told_of_within_seconds(
    cli: Cli, alone: Settings, own_valkey: ValkeyServer, command: tuple[str, ...]
) -> None:
    with frozen(own_valkey):
        began = time.monotonic()
        ran = cli(*command, env=alone.to_env())
        took_s = time.monotonic() - began

    assert (ran.status, "does not answer" in ran.out + ran.err) == (78 if command[0] == "doctor" else 75, True), ran.err
    assert took_s < PROMPT_S


def test_a_server_that_loads_is_told_of(alone: Settings, own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as admin:
        for number in range(600):
            admin.rpush(f"filler:{number}", *range(100))
        admin.config_set("appendonly", "no")
        admin.config_set("save", "3600 1")
        admin.save()
    own_valkey.kill()
    config = own_valkey.folder / "valkey.conf"
    with config.open("a") as lines:
        lines.write("appendonly no\nkey-load-delay 100000\nloading-process-events-interval-bytes 1024\n")
    from reelmill_producer.embedded.valkey import server_program  # noqa: PLC0415 - the server's own program, with a slow load

    with subprocess.Popen([server_program(), str(config)], stdout=subprocess.DEVNULL) as slow:
        try:
            ran = wait_for(lambda: loading(alone), what="a server that loads")
        finally:
            slow.kill()

    assert ran == (75, True)


def loading(settings: Settings) -> tuple[int, bool] | None:
    ran = program("status", env=settings.to_env())
    return (ran.status, "loads its data: wait, and try again" in ran.err) if "loads" in ran.err else None


def test_whoever_watches_goes_on_when_the_server_is_back(alone: Settings, own_valkey: ValkeyServer) -> None:
    with started("watch", "night", env=alone.to_env()) as watching:
        watching.wait_for_line("night: 0/2 done")
        with frozen(own_valkey):
            watching.wait_for_line("does not answer")
        with redis.Redis.from_url(own_valkey.url) as admin:
            admin.replicaof("127.0.0.1", free_port())
            refused = program("cancel", "night", env=alone.to_env())
            admin.replicaof("NO", "ONE")
        with Ledger.connect(alone) as ledger:
            ledger.batches.cancel("night")
        status = watching.wait()

    assert (refused.status, "is a read-only replica: point the URL at the primary" in refused.err) == (75, True)
    assert (status, watching.err.count("waiting for it")) == (69, 1), watching.err
    assert "Redis is back" in watching.err
    assert "2 of 2 clips were cancelled" in watching.err


def test_whoever_submits_and_waits_goes_on_when_the_server_was_restarted(
    alone: Settings, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("id,prompt\nfox,a fox\n")
    with started("submit", str(tmp_path / "list.csv"), "--wait", env=alone.to_env()) as waiting:
        waiting.wait_for_line("list: 0/1 done")
        own_valkey.kill()
        waiting.wait_for_line("does not answer")
        again = ValkeyServer.start(own_valkey.folder, port=own_valkey.port)
        try:
            with Ledger.connect(alone) as ledger:
                ledger.batches.cancel("list")
            status = waiting.wait()
        finally:
            again.stop()

    assert (status, "1 of 1 clips were cancelled" in waiting.err) == (69, True), waiting.err
