"""`window`, and the windows that `submit` gives: a batch runs in some hours only."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import BatchState
from reelmill_common.ledger import Ledger
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings
from reelmill_producer.analysis.why import obstacle
from reelmill_producer.client import Reelmill


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "night.csv"
    path.write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return path


def closed_now(ledger: Ledger) -> str:
    """Return a window that is shut for the next hours."""
    hour = ledger.timetable.now().hour
    return f"{(hour + 6) % 24:02}:00-{(hour + 8) % 24:02}:00 UTC"


def test_a_batch_is_submitted_with_a_window(cli: Cli, prompts: Path, ledger: Ledger) -> None:
    ran = cli("submit", prompts, "--window", closed_now(ledger), "--json")

    assert (ran.json["state"], ran.json["window"]) == ("scheduled", closed_now(ledger))


def test_whoever_waits_for_a_batch_outside_of_its_window_hears_when_it_opens(
    cli: Cli, prompts: Path, ledger: Ledger, settings: Settings
) -> None:
    cli("submit", prompts, "--window", closed_now(ledger))

    with Reelmill(settings) as farm:
        why = obstacle(farm, "night")

    assert f"waits for its window ({closed_now(ledger)}), which opens at 20" in why


def test_whoever_waits_for_workers_that_rest_hears_so(
    cli: Cli, prompts: Path, ledger: Ledger, settings: Settings, hand: Hand
) -> None:
    cli("submit", prompts)
    Ticker(worker=hand.name, window=closed_now(ledger)).keep_hours(ledger, ledger.timetable.now())

    with Reelmill(settings) as farm:
        why = obstacle(farm, "night")

    assert why == "the workers of lane tiny rest outside of their hours (REELMILL_WORKER_WINDOW)"


def test_submitting_again_with_a_window_gives_the_batch_that_window(cli: Cli, prompts: Path, ledger: Ledger) -> None:
    cli("submit", prompts)

    cli("submit", prompts, "--window", closed_now(ledger))

    assert ledger.batches.get("night").state is BatchState.SCHEDULED


def test_a_wrong_window_submits_nothing(cli: Cli, prompts: Path, ledger: Ledger) -> None:
    ran = cli("submit", prompts, "--window", "at night")

    assert (ran.status, ledger.batches.all()) == (65, [])
    assert "22:00-07:00 Europe/Vienna" in ran.err


def test_a_window_is_given_and_taken(cli: Cli, prompts: Path, ledger: Ledger, hand: Hand) -> None:
    cli("submit", prompts)

    assert cli("window", "night", closed_now(ledger)).out == f"{closed_now(ledger)}\n"
    assert ledger.dispatch.pump("tiny") == []
    assert cli("window", "night", "none").out == "none\n"

    assert ledger.batches.get("night").state is BatchState.ACTIVE


def test_a_window_of_a_batch_that_is_not_there_exits_66(cli: Cli) -> None:
    assert cli("window", "dawn", "none").status == 66
