"""The producer's tests use the SDK, connected to the farm of the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from producer.log_steps import keep_log, submit
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill


@pytest.fixture
def client(settings: Settings) -> Iterator[Reelmill]:
    with Reelmill(settings) as client:
        yield client


@pytest.fixture
def failed(ledger: Ledger, hand: Hand) -> str:
    """A job that failed once with a log, was queued again, and was then made."""
    (job_id,) = submit(ledger)
    first = hand.claim()
    keep_log(hand, first, "clip.failed", code="worker_bug", exception="Traceback:\nRuntimeError: \x1b[2Jlost")
    ledger.attempts.fail(first.job_id, first.token, "worker_bug", "lost", retryable=True)
    second = hand.ledger
    second.workers.register("other@test", "tiny", WorkerInfo())
    second.workers.ready("other@test", WorkerInfo())
    hand.name = "other@test"
    hand.finish(hand.claim())
    return job_id


@pytest.fixture
def three_clips(cli: Cli, tmp_path: Path, hand: Hand) -> str:
    """A batch of three clips and one that failed."""
    (tmp_path / "night.csv").write_text("id,prompt,seed,kind\ncon,a fox,1,a\n,an owl,2,b\nshot,a hare,3,a\nbad,x,4,\n")
    batch = cli("submit", tmp_path / "night.csv").out.strip()
    for _ in range(3):
        hand.finish(hand.claim())
    hand.fail(hand.claim())
    return batch
