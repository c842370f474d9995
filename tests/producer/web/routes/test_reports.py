"""Failures, reasons, reports, results and archives over HTTP."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from fixtures.hand import Hand
from fixtures.visitor import Visitor

PROMPT = "<img src=x onerror=alert(1)> a fox"


@pytest.fixture
def night(console: Visitor, hand: Hand) -> Visitor:
    """A console on a farm with a batch that has a clip, a failed job and one that waits."""
    rows = [{"id": "fox", "prompt": PROMPT}, {"id": "owl", "prompt": "an owl"}, {"id": "hare", "prompt": "a hare"}]
    console("PUT", "batches/night", {"rows": rows})
    hand.finish(hand.claim())
    hand.fail(hand.claim(), "prompt_too_long", "too long")
    return console


def test_failures_are_grouped_by_cause_with_advice(night: Visitor) -> None:
    found = night("GET", "batches/night/failures").json

    (cause,) = found["items"]
    assert (cause["code"], cause["count"], cause["message"], cause["retry"]) == (
        "prompt_too_long",
        1,
        "too long",
        False,
    )
    assert cause["advice"]


def test_a_batch_says_why_it_does_not_go_on(night: Visitor) -> None:
    night("POST", "batches/night/pause")

    assert night("GET", "batches/night/why").json["cause"] == "paused"


def test_results_are_a_line_for_each_job_that_has_ended(night: Visitor) -> None:
    answer = night("GET", "batches/night/results.jsonl")

    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [(line["row"], line["state"]) for line in lines] == [("fox", "succeeded"), ("owl", "failed")]
    assert night("GET", "batches/none/results.jsonl").status == 404


def test_an_archive_holds_the_clips(night: Visitor) -> None:
    answer = night("GET", "batches/night/clips.zip")

    archive = zipfile.ZipFile(io.BytesIO(answer.body))
    assert archive.testzip() is None
    (name,) = archive.namelist()
    assert (name, archive.read(name)) == ("fox.s1024.mp4", b"MP4 of fox")
    assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED


def test_a_contact_sheet_links_into_the_api_and_escapes_prompts(night: Visitor) -> None:
    page = night("GET", "batches/night/report", headers={"Accept": "text/html"})
    facts = night("GET", "batches/night/report").json

    assert page.headers["content-type"].startswith("text/html")
    assert b'src="clips/fox/poster"' in page.body
    assert b"<img src=x" not in page.body
    assert "unsafe" not in page.headers["content-security-policy"]
    assert facts["batch"] == "night"
