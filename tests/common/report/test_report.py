"""Reports: what they count, what the sheet shows whatever people write, and who makes them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest

from fixtures.hand import Hand
from fixtures.page import Page
from fixtures.s3 import S3Server
from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, Result
from reelmill_common.prices import Prices
from reelmill_common.report import Report, gather
from reelmill_common.report.page import page, relative
from reelmill_common.report.summary import summary
from reelmill_common.report.write import make
from reelmill_common.services.report_maker import ReportMaker
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store

EVIL = "</script><img src=x onerror=alert(1)> & \"quotes\" 'single'"


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.connect(settings) as ledger:
        yield ledger


def submit(ledger: Ledger, prompts: Sequence[str], *, batch: str = "night", owner: str = "ada") -> None:
    jobs = [
        RenderJob(batch=batch, row=f"r{index}", spec=RenderSpec(prompt=prompt, seed=index, profile="tiny"))
        for index, prompt in enumerate(prompts)
    ]
    ledger.submit(Batch(name=batch, owner=owner), jobs)


def finish(hand: Hand, seconds: dict[str, float]) -> None:
    claimed = hand.claim()
    result = Result(
        key=f"night/{claimed.row}-12345678.mp4",
        sha256="ab" * 32,
        size_bytes=1000,
        latents_sha256="cd" * 32,
        seconds=seconds,
    )
    assert hand.ledger.finish(claimed.job_id, claimed.token, result)


def report_of(ledger: Ledger, **price: object) -> Report:
    return gather(ledger.batch("night"), ledger.every_job("night"), made_at=0.0, **price)  # type: ignore[arg-type]


@pytest.fixture
def night(ledger: Ledger, hand: Hand) -> Ledger:
    """Two clips, two failures of one cause and one of another."""
    submit(ledger, ["a fox", EVIL, "an owl", "a cat", "a dog"])
    finish(hand, {"denoise": 1.0, "decode": 0.5, "mux": 3.0})
    finish(hand, {"denoise": 2.0, "decode": 0.5, "upload": 1.0})
    hand.fail(hand.claim(), "bad_output", "all frames are black")
    hand.fail(hand.claim(), "bad_output", "all frames are equal")
    hand.fail(hand.claim(), "prompt_too_long", EVIL)
    return ledger


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


def test_the_summary_says_what_a_person_asks_in_the_morning(night: Ledger) -> None:
    text = summary(report_of(night, prices=Prices(gpu_hour=3600.0, currency="EUR")))

    assert text.startswith("batch night: 2 of 5 clips succeeded (failed)")
    assert "4.0 GPU seconds, 4.00 EUR" in text
    assert "2 failed, bad_output: all frames are black\n    reelmill retry night --code bad_output" in text


def test_the_sheet_shows_every_job_and_nothing_that_somebody_wrote_is_markup(night: Ledger) -> None:
    html = page(report_of(night), link=relative)
    shown = Page(html)

    assert len(shown.all("figure")) == 5
    assert [figure.get("class") for figure in shown.all("figure")].count("failed") == 3
    assert shown.text.count(EVIL) == 3  # a prompt, and the message of a failure twice
    assert {attributes.get("src") for attributes in shown.all("img")} == {
        "../../night/r0-12345678.jpg",
        "../../night/r1-12345678.jpg",
    }
    assert len(shown.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)


def test_the_sheet_lets_nothing_in_but_its_own_style_and_script(night: Ledger) -> None:
    shown = Page(page(report_of(night), link=relative))

    (policy,) = [
        str(meta["content"]) for meta in shown.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}';", policy)
    assert "unsafe" not in policy
    assert not shown.all("link")


def test_a_sheet_of_2000_clips_is_light(ledger: Ledger, hand: Hand) -> None:
    submit(ledger, ["a small wooden boat drifts across a calm lake at sunrise, mist over the water"])
    finish(hand, {"denoise": 1.0})
    report = report_of(ledger)
    many = dataclasses.replace(report, entries=[*report.entries] * 2000)

    assert len(page(many, link=relative).encode()) < 1_800_000


def test_a_long_batch_is_counted_whole_and_shown_in_part(night: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelmill_common.report.facts.MOST_ENTRIES", 2)

    report = report_of(night)
    shown = Page(page(report, link=relative))

    assert (report.stored, report.total, report.gpu_s) == (2, 5, 4.0)
    assert [cause.count for cause in report.failures] == [2, 1]
    assert len(shown.all("figure")) == 2
    assert "3 more jobs are counted and not shown; `reelmill export night` lists all." in shown.text


def test_a_sheet_is_made_once_for_each_end_of_a_batch(night: Ledger, hand: Hand, settings: Settings) -> None:
    store, makers = open_store(settings), [ReportMaker(settings=settings) for _ in range(2)]

    first = [maker.round(night, store) for maker in makers]
    night.retry_jobs([next(job.job_id for job in night.jobs("night", states=[JobState.FAILED]))])
    between = makers[0].round(night, store)
    finish(hand, {"denoise": 1.0})
    again = [maker.round(night, store) for maker in makers]

    assert first == ["night", ""]
    assert between == ""
    assert again == ["night", ""]
    facts = json.loads(store.get("reports/night/facts.json"))
    assert facts["counts"] == {"succeeded": 3, "failed": 2}
    assert [event.name for event in night.events(after="0")].count("batch.reported") == 2


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
