"""Estimates: what a submit would change."""

from __future__ import annotations

from dataclasses import replace

from common.ledger_steps import make_jobs
from reelmill_common.forecast import shape_of
from reelmill_common.job_fields.limits import MAX_SEED
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger
from reelmill_producer.analysis.estimates import Change, change_of


def test_jobs_are_new_unchanged_or_in_conflict(ledger: Ledger) -> None:
    first, second, third = make_jobs("night", 3)
    first = replace(first, spec=replace(first.spec, seed=MAX_SEED))
    ledger.batches.submit(Batch(name="night"), [first, second])

    change = change_of(ledger, [first, replace(second, spec=replace(second.spec, seed=7)), third])

    assert change == Change(new={shape_of(third.spec): 1}, unchanged=1, conflicts=1)
    assert ledger.batches.get("night").total == 2
