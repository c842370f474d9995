from __future__ import annotations

import pytest

from common.report_steps import report_of
from fixtures.page import Page
from reelmill_common.ledger import Ledger
from reelmill_common.prices import Prices
from reelmill_common.report.page import page, relative


def test_everything_is_counted(night: Ledger) -> None:
    report = report_of(night, prices=Prices(gpu_hour=3600.0, currency="EUR"))

    assert (report.stored, report.total, report.owner) == (2, 5, "ada")
    assert report.gpu_s == 4.0  # what runs beside the next render costs no GPU
    assert report.cost == 4.0
    assert report.stages == {"denoise": 1.5, "decode": 0.5, "mux": 3.0, "upload": 1.0}
    assert report.workers == {"hand@test": 2}
    assert report.clips_per_h > 0


def test_failures_are_grouped_by_cause_with_the_command_that_retries_them(night: Ledger) -> None:
    first, second = report_of(night).failures

    assert (first.code, first.count, first.message) == ("bad_output", 2, "all frames are black")
    assert first.retry == "reelmill retry night --code bad_output"
    assert (second.code, second.count) == ("prompt_too_long", 1)


def test_a_long_batch_is_counted_whole_and_shown_in_part(night: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelmill_common.report.facts.MOST_ENTRIES", 2)

    report = report_of(night)
    shown = Page(page(report, link=relative))

    assert (report.stored, report.total, report.gpu_s) == (2, 5, 4.0)
    assert [cause.count for cause in report.failures] == [2, 1]
    assert len(shown.all("figure")) == 2
    assert "3 more jobs are counted and not shown; `reelmill export night` lists all." in shown.text
