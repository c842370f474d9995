"""One forecast: every command and figure that says when work is done says the same of one batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.metrics.exporter import registry
from reelmill_common.metrics.farm import FarmCollector


def remaining_s(ledger: Ledger) -> float:
    """Return `reelmill_remaining_seconds` as Prometheus reads it."""
    text = generate_latest(registry(FarmCollector(ledger))).decode()
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "reelmill_remaining_seconds"
    ]
    return found


def test_all_that_say_when_a_batch_is_done_agree(cli: Cli, hand: Hand, ledger: Ledger, tmp_path: Path) -> None:
    for name, count in (("before", 1), ("night", 6)):
        (tmp_path / f"{name}.txt").write_text("".join(f"clip {row}\n" for row in range(count)))
    cli("submit", tmp_path / "before.txt")
    hand.finish(hand.claim(), seconds={"denoise": 600.0})
    ledger.workers.register("second@test", "tiny", WorkerInfo())
    ledger.workers.ready("second@test", WorkerInfo())

    estimated = cli("submit", tmp_path / "night.txt", "--dry-run", "--json").json["finish_s"]
    cli("submit", tmp_path / "night.txt")
    hand.claim()
    now = ledger.timetable.now().timestamp()
    (planned,) = cli("plan", "--json").json["batches"]
    (open_batch,) = cli("top", "--json").json["batches"]
    reason = cli("why", "night", "--json").json

    expected = pytest.approx(3 * 600, abs=10)  # two workers, three clips each
    assert estimated == expected
    assert planned["finish_at"] - now == expected
    assert open_batch["eta_s"] == expected
    assert reason["finish_at"] - now == expected
    assert remaining_s(ledger) == expected
