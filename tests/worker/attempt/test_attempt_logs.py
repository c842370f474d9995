"""Logs of attempts: the last lines of those that fail lie beside the clips, without prompts and secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from fixtures.bench import NODE, Bench
from fixtures.valkey import wait_for
from reelmill_common.broker import make_app
from reelmill_common.jobs import RenderJob, RenderSpec
from reelmill_common.ledger import Claimed
from reelmill_common.settings import Settings
from reelmill_common.storage.folder import FolderStore
from reelmill_common.storage.keys import log_key
from reelmill_worker import logs
from reelmill_worker.attempt.attempt_logs import HIDDEN, MOST_BYTES, MOST_LINES, AttemptLogs
from reelmill_worker.child.gate import Gate
from reelmill_worker.child.job_runner import JobRunner
from reelmill_worker.child.renderer import FixedDurationRenderer, OnStage, TestPicture

log = structlog.get_logger("reelmill_worker.scene")


class Breaking(FixedDurationRenderer):
    """Fails as torch does: an error that is none of ours, from deep inside."""

    def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
        on_stage("denoise 1/3")
        logging.getLogger("cublas").warning("the workspace is small")
        logging.getLogger("cublas").info("a %s", spec.prompt)
        raise RuntimeError("CUDA error: an illegal memory access")


@pytest.fixture(autouse=True)
def real_logs() -> Iterator[io.StringIO]:
    """Log as a worker does, and as before afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    logs.configure(level="info", form="json", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def listening(make_bench: Callable[..., Bench]) -> Iterator[Callable[..., Bench]]:
    """Return a maker of benches that keep logs as the settings say."""
    kept: list[AttemptLogs] = []

    def make(**changes: object) -> Bench:
        bench = make_bench(**changes)
        bench.leases.logs = AttemptLogs.of(bench.settings, bench.store)
        bench.leases.logs.start()
        kept.append(bench.leases.logs)
        return bench

    yield make
    for item in kept:
        item.stop()


def attempt(store: FolderStore, keep: Any = "failed", **options: Any) -> tuple[AttemptLogs, Claimed]:
    """Begin an attempt without a farm."""
    spec = RenderSpec(prompt="a fox", profile="tiny")
    job = RenderJob(batch="night", row="r0", spec=spec)
    claimed = Claimed(job_id=job.job_id, batch="night", row="r0", token="1.word", spec=spec)
    kept = AttemptLogs(store, keep=keep, **options)
    kept.start()
    kept.begin(claimed)
    return kept, claimed


def read(bench: Bench, job_id: str, number: int = 1) -> list[dict[str, Any]]:
    job = bench.ledger.jobs.get(job_id)
    key = log_key(job.batch, job.row, attempt=number)
    wait_for(lambda: bench.store.head(key), what=key)
    return [json.loads(line) for line in bench.store.get(key).splitlines()]


def test_the_log_of_a_failed_attempt_says_why_and_shows_no_prompt(listening: Callable[..., Bench]) -> None:
    bench = listening()
    ((job_id, generation),) = bench.submit()

    bench.job_runner(Breaking(seconds=0)).run(job_id, generation)

    lines = read(bench, job_id)
    assert [line["event"] for line in lines] == ["the workspace is small", "clip.failed"]
    assert (lines[-1]["code"], lines[-1]["level"]) == ("worker_bug", "error")
    assert "illegal memory access" in lines[-1]["exception"]
    assert all(line["job_id"] == job_id and line["attempt"] == 1 for line in lines)
    assert bench.ledger.jobs.get(job_id).spec.prompt not in json.dumps(lines)


@pytest.mark.parametrize(("keep", "kept"), [("failed", []), ("off", []), ("all", ["card.drawn", "clip.rendered"])])
def test_the_log_of_a_clip_is_kept_if_that_is_asked_for(
    listening: Callable[..., Bench], keep: str, kept: list[str]
) -> None:
    bench = listening(keep_logs=keep)
    ((job_id, generation),) = bench.submit()

    bench.job_runner().run(job_id, generation)
    wait_for(lambda: bench.ends(job_id), what="the clip")
    bench.deliveries.close(30)
    bench.leases.logs.stop()  # what is to be stored is stored then

    found = [item.key for item in bench.store.list("logs/")]
    assert len(found) == bool(kept)
    assert [line["event"] for key in found for line in map(json.loads, bench.store.get(key).splitlines())] == kept


def test_only_the_last_lines_are_kept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    kept, claimed = attempt(store)
    with bound_contextvars(job_id=claimed.job_id, attempt=1):
        for number in range(MOST_LINES + 50):
            log.info("noise.heard", number=number)
        log.error("clip.failed", exception="x" * 10 * MOST_BYTES + "the end")

    kept.end(claimed, failed=True)
    kept.stop()

    content = store.get(log_key("night", "r0", attempt=1))
    lines = [json.loads(line) for line in content.splitlines()]
    assert len(content) <= MOST_BYTES
    assert len(lines) <= MOST_LINES
    assert lines[-1]["exception"].endswith("the end")
    assert lines[0]["number"] > 50


def test_a_line_belongs_to_its_own_attempt_only(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    kept, claimed = attempt(store)
    log.info("nobody.spoke")
    with bound_contextvars(job_id=claimed.job_id, attempt=2):
        log.info("another.spoke")
    with bound_contextvars(job_id=claimed.job_id, attempt=1):
        log.info("own.spoke")

    kept.end(claimed, failed=True)
    kept.stop()

    assert [json.loads(line)["event"] for line in store.get(log_key("night", "r0", attempt=1)).splitlines()] == [
        "own.spoke"
    ]


def test_secrets_of_the_settings_are_struck_out(tmp_path: Path, settings: Settings) -> None:
    store = FolderStore(tmp_path / "store")
    token = 'tok"en\\1'
    url = "redis+sentinel://:p%40ss-word@127.0.0.1:6379/farm/0?sentinel_password=sent%2Finel"
    secret = replace(settings, redis_url=url, metrics_token=token)
    kept = AttemptLogs.of(secret, store)
    _, claimed = attempt(store, keep="off")
    kept.start()
    kept.begin(claimed)
    with bound_contextvars(job_id=claimed.job_id, attempt=1):
        log.error("clip.failed", error=f"cannot reach {secret.redis_url} with p@ss-word, sent/inel and {token}")

    kept.end(claimed, failed=True)
    kept.stop()

    text = store.get(log_key("night", "r0", attempt=1)).decode()
    assert text.count(HIDDEN) == 5
    assert not any(word in text for word in ("p%40ss-word", "p@ss-word", "tok", "sent%2Finel", "sent/inel"))


def test_a_store_that_takes_nothing_costs_the_log_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    kept, claimed = attempt(FolderStore(tmp_path / "store"))
    with bound_contextvars(job_id=claimed.job_id, attempt=1):
        log.error("clip.failed")

    kept.end(claimed, failed=True)
    kept.stop()

    assert (tmp_path / "store").read_text() == "in the way"
    assert kept not in logging.getLogger().handlers


def test_a_child_that_passed_the_gate_keeps_logs(settings: Settings, make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    broken = replace(settings, renderer="fixed:0:broken")
    runner = Gate(settings=broken, worker=NODE, profile="tiny", app=make_app(broken), parent_pid=4711).enter()
    assert isinstance(runner, JobRunner)
    ((job_id, generation),) = bench.submit()

    runner.run(job_id, generation)
    runner.close(30)

    assert [line["event"] for line in read(bench, job_id)] == ["clip.failed"]
