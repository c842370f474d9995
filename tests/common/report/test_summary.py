from __future__ import annotations

from common.report_steps import report_of
from reelmill_common.ledger import Ledger
from reelmill_common.prices import Prices
from reelmill_common.report.summary import summary


def test_the_summary_says_what_a_person_asks_in_the_morning(night: Ledger) -> None:
    text = summary(report_of(night, prices=Prices(gpu_hour=3600.0, currency="EUR")))

    assert text.startswith("batch night: 2 of 5 clips succeeded (failed)")
    assert "4.0 GPU seconds, 4.00 EUR" in text
    assert "2 failed, bad_output: all frames are black\n    reelmill retry night --code bad_output" in text
