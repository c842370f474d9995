from __future__ import annotations

import json

from common.report_steps import finish
from fixtures.hand import Hand
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.services.report_maker import ReportMaker
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store


def test_a_sheet_is_made_once_for_each_end_of_a_batch(night: Ledger, hand: Hand, settings: Settings) -> None:
    store, makers = open_store(settings), [ReportMaker(settings=settings) for _ in range(2)]

    first = [maker.round(night, store) for maker in makers]
    night.jobs.retry([next(job.job_id for job in night.jobs.page("night", states=[JobState.FAILED]))])
    between = makers[0].round(night, store)
    finish(hand, {"denoise": 1.0})
    again = [maker.round(night, store) for maker in makers]

    assert first == ["night", ""]
    assert between == ""
    assert again == ["night", ""]
    facts = json.loads(store.get("reports/night/facts.json"))
    assert facts["counts"] == {"succeeded": 3, "failed": 2}
    assert [event.name for event in night.events.read(after="0")].count("batch.reported") == 2
