"""`reelmill flower`: what its pages show, and when it does not start."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.cli import Ran, program, started
from fixtures.farm import Farm
from fixtures.s3 import free_port
from fixtures.valkey import wait_for
from producer.flower_pages import LOGIN, ask, rows
from reelmill_common.jobs import RenderSpec
from reelmill_common.settings import Settings

DATA = [
    "/workers?json=1",
    "/tasks/datatable?draw=1&start=0&length=10&order[0][column]=0&columns[0][data]=name",
    "/api/workers",
    "/api/tasks",
    "/api/task/types",
    "/api/queues/length",
]


def run(settings: Settings, *args: str, **env: str) -> Ran:
    return program("flower", *args, env=settings.to_env() | env)


@pytest.mark.services
def test_visitors_with_the_password_read_everything_and_change_nothing(dashboard: int) -> None:
    readable = {path: ask(dashboard, path)[0] for path in ["/", "/tasks", "/broker", *DATA]}
    orders = [
        "/api/worker/shutdown/cpu0@here",
        "/api/worker/pool/shrink/cpu0@here",
        "/api/task/revoke/some-id",
        "/api/task/async-apply/reelmill.render",
        "/api/task/send-task/reelmill.render",
    ]
    refused = {path: ask(dashboard, path, data=b"{}")[0] for path in orders}

    assert set(readable.values()) == {200}
    assert set(refused.values()) == {403}


@pytest.mark.services
@pytest.mark.timeout(240)
def test_workers_and_messages_are_shown_in_our_words_and_kept_over_a_restart(
    make_farm: Callable[..., Farm], port: int
) -> None:
    farm = make_farm(renderer="fixed:0.05")
    env = farm.settings.to_env() | {"FLOWER_BASIC_AUTH": LOGIN}
    prompt = 'a <b>bold</b> fox\'s "den" · ünder snow'
    with started("flower", "--port", str(port), env=env) as running:
        running.wait_for_line("Flower listens")
        worker = farm.start()
        (job_id,) = farm.submit("night", [RenderSpec(prompt=prompt, frames=5, profile="tiny")])
        farm.wait_done("night")
        wait_for(lambda: [row for row in rows(port) if row["state"] == "SUCCESS"], what="the finished task in Flower")
        (row,) = rows(port)
        workers = json.loads(ask(port, "/workers?json=1")[1])["data"]
        running.interrupt(signal.SIGTERM)
        status = running.wait()
    with started("flower", "--port", str(port), env=env) as again:
        again.wait_for_line("Flower listens")
        (kept,) = rows(port)
        page = ask(port, f"/task/{job_id}.1")[1]

    assert row["name"] == "reelmill.render"
    assert row["uuid"] == f"{job_id}.1"
    assert row["worker"] == worker.node
    assert (row["batch"], row["seed"], row["prompt"]) == ("night", "1024", prompt)
    assert (row["stage"], row["worker_class"]) == ("rendered", "fixed:0.05")
    assert row["kwargs"] == f"night · seed 1024 · {prompt} · job {job_id} · generation 1"
    assert [(item["hostname"], item["status"]) for item in workers] == [(worker.node, True)]
    assert status == 0
    assert kept == row
    assert "a &lt;b&gt;bold&lt;/b&gt; fox" in page
    assert "<b>bold" not in page


@pytest.mark.services
@pytest.mark.parametrize(
    "args",
    [
        pytest.param([], id="on loopback by default"),
        pytest.param(["--address", "0.0.0.0"], id="on every address"),
        pytest.param(["--address", "0.0.0.0", "--no-auth"], id="on every address although told otherwise"),
    ],
)
def test_it_does_not_start_without_a_password(settings: Settings, port: int, args: list[str]) -> None:
    ran = run(settings, "--port", str(port), *args)

    assert ran.status == 78
    assert "set FLOWER_BASIC_AUTH=user:password" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.services
def test_a_configuration_file_may_bring_the_login_and_is_overruled_by_the_command_line(
    settings: Settings, port: int, tmp_path: Path
) -> None:
    conf = tmp_path / "flowerconfig.py"
    conf.write_text(f"basic_auth = [{LOGIN!r}]\nport = 1\nread_only = False\n")

    with started("flower", "--conf", str(conf), "--port", str(port), env=settings.to_env()) as running:
        line = running.wait_for_line("Flower listens")
        statuses = [ask(port, "/tasks", login=login)[0] for login in (None, LOGIN)]

    assert f"127.0.0.1:{port}" in line
    assert statuses == [401, 200]


@pytest.mark.services
def test_a_queue_that_does_not_answer_is_said_at_once(settings: Settings, tmp_path: Path) -> None:
    wrong = {"FLOWER_BASIC_AUTH": LOGIN, "REELMILL_REDIS_URL": f"redis://:x@127.0.0.1:{free_port()}/0"}

    assert run(settings, **wrong).status == 75
    assert run(settings, "--conf", str(tmp_path / "none.py"), FLOWER_BASIC_AUTH=LOGIN).status == 78
