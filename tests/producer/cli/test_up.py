"""`reelmill up`: other terminals find its farm, and it is refused where the farm runs elsewhere."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from fixtures.cli import program, started
from fixtures.embedded import client, record_of, server_runs, state_dir, until_ready
from fixtures.visitor import Visitor
from reelmill_common.ledger import WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.processes import start_of

pytestmark = pytest.mark.services


def test_other_terminals_find_the_farm_of_up(embedded_env: dict[str, str], six_clips: Path) -> None:
    with started("up", env=embedded_env) as up:
        until_ready(up)
        second = program("up", env=embedded_env)
        waited = program("submit", str(six_clips), "--wait", "--json", env=embedded_env)
        with client(embedded_env) as farm:
            workers = [worker.state for worker in farm.workers()]
        mode = stat.S_IMODE((state_dir(embedded_env) / "farm.json").stat().st_mode)
        record = record_of(embedded_env)
        up.interrupt()
        ended = up.wait()

    assert second.status == 0
    assert "a farm runs in" in second.err
    assert json.loads(waited.out)["counts"]["succeeded"] == 6
    assert workers == [WorkerState.READY]
    assert mode == 0o600
    assert ended == 0
    assert not start_of(record.worker_pid)
    assert not server_runs(embedded_env)
    for said in (up.out, up.err, second.out, second.err, waited.err):
        assert "redis://" not in said  # the URL holds the password


def test_a_farm_of_this_machine_has_a_console(embedded_env: dict[str, str]) -> None:
    with started("up", "--open", env=embedded_env | {"REELMILL_CONSOLE_PORT": "0"}) as up:
        line = up.wait_for_line("the console is at")
        console = Visitor(url=re.findall(r"http://\S+/", line)[0])

        submitted = console("PUT", "batches/night", {"rows": ["a red ball"]})
        workers = console("GET", "workers").json["items"]
        up.interrupt()

        assert (submitted.status, submitted.json["added"]) == (200, 1)
        assert [worker["state"] for worker in workers] == ["ready"]
        assert up.wait() == 0


def test_up_is_refused_where_the_farm_runs_elsewhere(settings: Settings) -> None:
    ran = program("up", env=settings.to_env())

    assert ran.status == 78
    assert "REELMILL_REDIS_URL is set, so the farm runs elsewhere" in ran.err
