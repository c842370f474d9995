"""The start-up gate: a desk for a child that passed every check, a notice with the reason for one that did not."""

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
from reelmill_worker.ipc.child_status import ChildStatus, notice_path, read

NODE = "cpu0@test"
PARENT = 4711


@pytest.fixture
def enter(settings: Settings) -> Iterator[Callable[..., JobRunner | None]]:
    """Return a way through the gate with some settings changed; desks are closed with the test."""
    desks: list[JobRunner] = []

    def enter(**changes: object) -> JobRunner | None:
        changed = dataclasses.replace(settings, **({"renderer": "fixed:0.01"} | changes))  # type: ignore[arg-type]
        desk = Gate(settings=changed, worker=NODE, lane="tiny", app=make_app(changed), parent_pid=PARENT).enter()
        if desk is not None:
            desks.append(desk)
        return desk

    yield enter
    for desk in desks:
        desk.close(5)


def notice(settings: Settings) -> ChildStatus | None:
    return read(notice_path(settings.state_dir, NODE, PARENT), pid=os.getpid())


def test_a_child_that_passes_gets_its_desk_and_tells_what_it_is(
    enter: Callable[..., JobRunner | None], settings: Settings
) -> None:
    desk = enter()

    said = notice(settings)
    assert desk is not None
    assert said is not None
    assert said.verdict == "ready"
    assert said.info["renderer"] == "fixed:0.01"
    assert said.info["store"] == settings.store_url


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"renderer": "model", "model_dir": "/nowhere"}, "invalid_model: .*/nowhere", id="no model"),
        pytest.param({"store_url": "file:///dev/null/clips"}, "store_refused: .*/dev/null", id="a store that refuses"),
        pytest.param({"video_codec": "h264_nvenc"}, "invalid_settings: .*REELMILL_VIDEO_CODEC", id="no such encoder"),
    ],
)
def test_a_child_that_fails_a_check_is_unfit_and_says_why(
    enter: Callable[..., JobRunner | None], settings: Settings, changes: dict[str, str], reason: str
) -> None:
    with capture_logs() as logs:
        desk = enter(**changes)

    said = notice(settings)
    assert desk is None
    assert said is not None
    assert said.verdict == "unfit"
    assert re.match(reason, said.reason), said.reason
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["gate.refused"]


def test_a_dead_canary_makes_the_worker_unfit(
    enter: Callable[..., JobRunner | None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_self: FixedDurationRenderer) -> None:
        raise BadOutput("the canary is black")

    monkeypatch.setattr(FixedDurationRenderer, "canary", die)

    assert enter() is None
    said = notice(settings)
    assert said is not None
    assert said.reason == "worker_unfit: the canary render failed (bad_output): the canary is black"


def test_a_bug_in_the_gate_makes_the_worker_unfit_too(
    enter: Callable[..., JobRunner | None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: FixedDurationRenderer) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(FixedDurationRenderer, "canary", fail)

    assert enter() is None
    said = notice(settings)
    assert said is not None
    assert said.reason == "worker_bug: ZeroDivisionError: division by zero"


def test_what_a_dead_child_left_in_the_spool_is_cleared(
    enter: Callable[..., JobRunner | None], settings: Settings
) -> None:
    left = settings.state_dir / "spool" / NODE / "some-job.1" / "clip.mp4"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a clip")

    enter()

    assert not left.exists()


def test_a_notice_is_heard_of_its_own_process_only(tmp_path: Path, settings: Settings) -> None:
    path = notice_path(settings.state_dir, NODE, PARENT)

    assert read(path, pid=os.getpid()) is None

    Gate(settings=settings, worker=NODE, lane="tiny", app=make_app(settings), parent_pid=PARENT).tell("loading")

    assert read(path, pid=os.getpid()) is not None
    assert read(path, pid=os.getpid() + 1) is None


def test_a_child_that_cannot_write_its_notice_waits_until_it_can(
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
        wait_for(lambda: any(line["event"] == "notice.not_posted" for line in lines), what="the complaint")
        run.unlink()
        child.join(60)

    said = notice(settings)
    assert said is not None
    assert said.verdict == "ready"
    assert entered
    assert len([line for line in lines if line["event"] == "notice.not_posted"]) == 1


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
        wait_for(lambda: any(entry["event"] == "gate.waited" for entry in logs), what="word of the store")

    said = notice(settings)
    assert entered == []
    assert said is not None
    assert said.verdict == "loading"
    assert str(said.info["trouble"]).startswith("store: ")
