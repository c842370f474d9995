"""Outlook: a forecast that is kept, and says when a batch is done."""

from __future__ import annotations

import pytest

from common.ledger_steps import LANE, begin, make_result, start_worker, submit
from reelmill_common.forecast import Outlook
from reelmill_common.ledger import Ledger


def test_a_forecast_is_kept_for_some_seconds(ledger: Ledger) -> None:
    start_worker(ledger, lane=LANE)
    submit(ledger, "night", 3)
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    outlook = Outlook(ledger=ledger)

    first, seconds = outlook.course(), outlook.left_s("night")
    submit(ledger, "later", 1)

    assert outlook.course() is first
    assert seconds == pytest.approx(2 * sum(make_result().seconds.values()), abs=1)
    assert outlook.left_s("later") is None
