"""Jobs over HTTP."""

from __future__ import annotations

import pytest

from fixtures.hand import Hand
from fixtures.visitor import Visitor
from reelmill_common.jobs import JobState, job_id
from reelmill_producer.web.routes import jobs

HOSTILE = "<script>alert(1)</script> \"' & a fox"


def test_jobs_are_listed_by_pages_and_filtered(console: Visitor, hand: Hand) -> None:
    rows = [{"id": f"r{number}", "prompt": f"a fox number {number}"} for number in range(5)]
    console("PUT", "batches/night", {"rows": [*rows, {"id": "owl", "prompt": "an OWL"}]})
    hand.fail(hand.claim())

    first = console("GET", "batches/night/jobs", limit=4).json
    second = console("GET", "batches/night/jobs", limit=4, cursor=first["next"]).json

    assert [item["row"] for item in first["items"] + second["items"]] == ["r0", "r1", "r2", "r3", "r4", "owl"]
    assert second["next"] is None
    assert [item["row"] for item in console("GET", "batches/night/jobs", q="owl").json["items"]] == ["owl"]
    (failed,) = console("GET", "batches/night/jobs", state=["failed", "cancelled"]).json["items"]
    assert failed["error"]["code"] == "bad_output"
    assert console("GET", "batches/night/jobs", limit=1001).status == 422


def test_a_filter_looks_at_some_jobs_a_request_and_finds_all(
    console: Visitor, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOKED_AT", 2)
    monkeypatch.setattr(jobs, "MOST_LOOKED_AT", 4)
    rows = [{"id": f"r{number}", "prompt": "an owl" if number in (1, 8) else "a fox"} for number in range(10)]
    console("PUT", "batches/night", {"rows": rows})

    pages, cursor = list[list[str]](), ""
    while True:
        page = console("GET", "batches/night/jobs", q="owl", limit=5, cursor=cursor).json
        pages.append([item["row"] for item in page["items"]])
        if not (cursor := page["next"]):
            break

    assert pages == [["r1"], [], ["r8"]]


def test_failed_jobs_are_found_by_their_index_in_pages(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": [f"a fox number {number}" for number in range(5)]})
    for _ in range(3):
        hand.fail(hand.claim())

    first = console("GET", "batches/night/jobs", state="failed", limit=2).json
    second = console("GET", "batches/night/jobs", state="failed", limit=2, cursor=first["next"]).json

    assert (len(first["items"]), len(second["items"]), second["next"]) == (2, 1, None)


def test_a_job_is_found_by_its_place_and_by_its_id(console: Visitor) -> None:
    console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": HOSTILE}]})

    by_place = console("GET", "batches/night/jobs/fox").json

    assert by_place["prompt"] == HOSTILE
    assert console("GET", f"jobs/{job_id('night', 'fox')}").json == by_place
    assert [console("GET", path).status for path in ("jobs/x", "batches/night/jobs/x", "batches/no/jobs/fox")] == [
        404
    ] * 3


def test_a_job_is_cancelled_tried_again_and_explained(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}, {"id": "owl", "prompt": "an owl"}]})

    assert console("POST", "batches/night/jobs/fox/cancel", {}).json["count"] == 1
    assert hand.ledger.jobs.get(job_id("night", "fox")).state is JobState.CANCELLED
    assert console("GET", "batches/night/jobs/fox/why").json["cause"] == "cancelled"
    assert console("POST", "batches/night/jobs/fox/retry", {}).json["count"] == 1


def test_a_clip_is_marked_and_the_marks_are_listed_and_exported(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": ["a fox", "an owl"]})
    rows = [hand.finish(hand.claim()) and job.row for job in hand.ledger.jobs.page("night")]

    marked = console("PUT", f"batches/night/jobs/{rows[0]}/choice", {"mark": "favourite", "note": "the eyes"}).json
    console("PUT", f"batches/night/jobs/{rows[1]}/choice", {"mark": "reject"})

    assert marked["choice"] == {"mark": "favourite", "note": "the eyes"}
    assert [item["row"] for item in console("GET", "batches/night/jobs", favourite="true").json["items"]] == rows[:1]
    assert [item["row"] for item in console("GET", "batches/night/jobs", favourite="false").json["items"]] == rows[1:]
    assert console("GET", "batches/night/results.jsonl", favourites="true").body.count(b"\n") == 1
    assert console("PUT", f"batches/night/jobs/{rows[0]}/choice", {"mark": "none"}).json["choice"] is None
    assert console("PUT", f"batches/night/jobs/{rows[0]}/choice", {"mark": "favourite", "note": "a\nb"}).status == 422


def test_a_recipe_is_the_manifest_beside_the_clip(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}]})

    before = console("GET", "batches/night/jobs/fox/recipe")

    assert (before.status, before.code) == (404, "not_found")
