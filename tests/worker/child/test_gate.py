"""The start-up gate: a job runner for a child that passed every check, a status with the reason for any other."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fixtures.valkey import wait_for
from reelmill_common.broker import make_app
from reelmill_common.errors import BadOutput
from reelmill_common.settings import Settings
from reelmill_worker.child.gate import Gate
from reelmill_worker.child.job_runner import JobRunner
from reelmill_worker.child.renderer import FixedDurationRenderer
from reelmill_worker.ipc.child_files import ChildFiles
from reelmill_worker.ipc.child_status import ChildStatus, read

NODE = "cpu0@test"
PARENT = 4711


@pytest.fixture
def enter(settings: Settings) -> Iterator[Callable[..., JobRunner | None]]:
    """Return a way through the gate with some settings changed; runners are closed with the test."""
    runners: list[JobRunner] = []

    def enter(**changes: object) -> JobRunner | None:
        changed = dataclasses.replace(settings, **({"renderer": "fixed:0.01"} | changes))  # type: ignore[arg-type]
        runner = Gate(settings=changed, worker=NODE, profile="tiny", app=make_app(changed), parent_pid=PARENT).enter()
        if runner is not None:
            runners.append(runner)
        return runner

    yield enter
    for runner in runners:
        runner.close(5)


def status_file(settings: Settings) -> Path:
    return ChildFiles(state_dir=settings.state_dir, worker=NODE, parent_pid=PARENT).status


def status(settings: Settings) -> ChildStatus | None:
    return read(status_file(settings), pid=os.getpid())


def test_a_child_that_passes_gets_its_job_runner_and_reports_what_it_is(
    enter: Callable[..., JobRunner | None], settings: Settings
) -> None:
    runner = enter()

    reported = status(settings)
    assert runner is not None
    assert reported is not None
    assert reported.verdict == "ready"
    assert reported.info.renderer == "fixed:0.01"
    assert reported.info.store == settings.store_url


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"renderer": "model", "model_dir": "/nowhere"}, "invalid_model: .*/nowhere", id="no model"),
        pytest.param({"provenance": "require"}, "not_signed: .*no certificate is set", id="nothing to sign with"),
        pytest.param({"store_url": "file:///dev/null/clips"}, "store_refused: .*/dev/null", id="a store that refuses"),
        pytest.param({"video_codec": "h264_nvenc"}, "invalid_settings: .*REELMILL_VIDEO_CODEC", id="no such encoder"),
    ],
)
def test_a_child_that_fails_a_check_is_unfit_and_says_why(
    enter: Callable[..., JobRunner | None], settings: Settings, changes: dict[str, str], reason: str
) -> None:
    with capture_logs() as logs:
        runner = enter(**changes)

    reported = status(settings)
    assert runner is None
    assert reported is not None
    assert reported.verdict == "unfit"
    assert re.match(reason, reported.reason), reported.reason
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["gate.refused"]


def test_a_dead_canary_makes_the_worker_unfit(
    enter: Callable[..., JobRunner | None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_self: FixedDurationRenderer) -> None:
        raise BadOutput("the canary is black")

    monkeypatch.setattr(FixedDurationRenderer, "canary", die)

    assert enter() is None
    reported = status(settings)
    assert reported is not None
    assert reported.reason == "worker_unfit: the canary render failed (bad_output): the canary is black"


def test_a_bug_in_the_gate_makes_the_worker_unfit_too(
    enter: Callable[..., JobRunner | None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: FixedDurationRenderer) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(FixedDurationRenderer, "canary", fail)

    assert enter() is None
    reported = status(settings)
    assert reported is not None
    assert reported.reason == "worker_bug: ZeroDivisionError: division by zero"


def test_what_a_dead_child_left_in_the_spool_is_cleared(
    enter: Callable[..., JobRunner | None], settings: Settings
) -> None:
    left = settings.state_dir / "spool" / NODE / "some-job.1" / "clip.mp4"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a clip")

    enter()

    assert not left.exists()


def test_a_child_that_cannot_write_its_status_waits_until_it_can(
    enter: Callable[..., JobRunner | None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_worker.child.gate.PATIENCE_S", 0.05)
    entered: list[JobRunner | None] = []
    run = settings.state_dir / "run"
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_text("in the way, as a full disk is")

    with capture_logs() as lines:
        child = threading.Thread(target=lambda: entered.append(enter()))
        child.start()
        wait_for(lambda: any(line["event"] == "status.not_written" for line in lines), what="the error")
        run.unlink()
        child.join(60)

    reported = status(settings)
    assert reported is not None
    assert reported.verdict == "ready"
    assert entered
    assert len([line for line in lines if line["event"] == "status.not_written"]) == 1


def test_a_store_that_does_not_answer_at_start_is_waited_for(
    enter: Callable[..., JobRunner | None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setattr("reelmill_worker.child.gate.PATIENCE_S", 0.05)
    entered: list[JobRunner | None] = []

    with capture_logs() as logs:
        thread = threading.Thread(
            target=lambda: entered.append(enter(store_url="s3://clips", s3_endpoint="http://127.0.0.1:1")), daemon=True
        )
        thread.start()
        wait_for(lambda: any(entry["event"] == "gate.waited" for entry in logs), what="an error of the store")

    reported = status(settings)
    assert entered == []
    assert reported is not None
    assert reported.verdict == "loading"
    assert reported.info.trouble.startswith("store: ")
