"""A schedule for the tests of schedules and of the scheduler."""

from __future__ import annotations

from common.ledger_steps import make_jobs
from reelmill_common.calendar.cron import Cron
from reelmill_common.ledger import Ledger
from reelmill_common.schedules import Schedule


def add(ledger: Ledger, cron: str = "* * * * * *", *, rows: int = 3, catch_up: str = "skip") -> None:
    """Add the schedule `nightly`."""
    ledger.schedules.add(
        Schedule(name="nightly", cron=Cron.parse(cron, "UTC"), catch_up=catch_up, policy={"priority": 3}),  # type: ignore[arg-type]
        ((job.row, job.spec) for job in make_jobs("x", rows)),
    )
