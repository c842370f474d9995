"""What tests of several commands need: a batch that waits, and one that has begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger


@pytest.fixture
def night(cli: Cli, tmp_path: Path) -> str:
    """A batch of three clips that waits."""
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return cli("submit", tmp_path / "night.csv").out.strip()


@pytest.fixture
def ended(cli: Cli, night: str, hand: Hand) -> str:
    """The batch `night` with a clip that is stored, one that failed, and one that was cancelled."""
    hand.finish(hand.claim())
    hand.fail(hand.claim())
    cli("cancel", night)
    return night


@pytest.fixture
def begun(ledger: Ledger, hand: Hand) -> str:
    """The batch `night` with a clip that is stored, one that was cancelled, and one that waits."""
    specs = [RenderSpec(prompt=f"a fox crosses river {n}", profile="tiny", frames=5) for n in range(3)]
    ledger.batches.submit(
        Batch(name="night"), [RenderJob(batch="night", row=f"clip-{n}", spec=spec) for n, spec in enumerate(specs)]
    )
    hand.finish(hand.claim())
    waiting = [job.job_id for job in ledger.jobs.page("night") if not job.state.is_final]
    ledger.jobs.cancel(waiting[0])
    return "night"
