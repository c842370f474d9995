from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from common.report_scene import finish
from fixtures.hand import Hand
from fixtures.page import Page
from fixtures.s3 import S3Server
from reelmill_common.errors import NotFound
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.report.write import make
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


def test_a_sheet_in_a_folder_finds_its_clips(night: Ledger, settings: Settings) -> None:
    store = open_store(settings)
    store.put("night/r0-12345678.mp4", b"MP4", content_type="video/mp4")

    _, key = make(night, store, "night", settings)
    shown = Page(store.get(key).decode())

    sheet = Path(unquote(store.url(key)).removeprefix("file://"))
    clip = str(next(button["data-clip"] for button in shown.all("button")))
    assert (sheet.parent / clip).resolve().read_bytes() == b"MP4"


def test_the_links_of_a_bucket_are_signed_and_end(
    night: Ledger, settings: Settings, nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)
    settings = nanio_server.settings(settings)
    store = open_store(settings)

    _, key = make(night, store, "night", settings)
    shown = Page(store.get(key).decode())

    assert all("X-Amz-Signature" in str(button["data-clip"]) for button in shown.all("button"))
    assert "Its links expire" in shown.text


def test_an_unknown_batch_has_no_report(ledger: Ledger, settings: Settings) -> None:
    with pytest.raises(NotFound, match="no batch 'none'"):
        make(ledger, open_store(settings), "none", settings)
