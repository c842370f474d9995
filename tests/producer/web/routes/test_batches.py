"""Batches over HTTP: submitted in every form, checked, listed by pages."""

from __future__ import annotations

import time

import pytest

from fixtures.visitor import Visitor
from reelmill_common.ledger import Ledger

ROWS = {"rows": ["a fox", {"prompt": "an owl", "seed": 7, "id": "owl"}], "policy": {"priority": 7, "owner": "studio"}}


def test_rows_become_a_batch_and_again_change_nothing(console: Visitor, ledger: Ledger) -> None:
    first = console("PUT", "batches/night", ROWS)
    again = console("PUT", "batches/night", ROWS)

    assert (first.json["added"], first.json["unchanged"]) == (2, 0)
    assert (again.json["added"], again.json["unchanged"]) == (0, 2)
    view = ledger.batches.get("night")
    assert (view.priority, view.owner, view.total) == (7, "studio", 2)
    assert console("GET", "batches/night").json["counts"]["queued"] == 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"a fox\nan owl\n"),
        ("text/csv; charset=utf-8", b"prompt,seed\na fox,1\nan owl,2\n"),
        ("text/tab-separated-values", b"prompt\tseed\na fox\t1\nan owl\t2\n"),
        ("application/x-ndjson", b'{"prompt": "a fox"}\n"an owl"\n'),
        ("application/yaml", b"jobs:\n- prompt: a fox\n- prompt: an owl\n"),
        ("application/json", b'["a fox", "an owl"]'),
    ],
)
def test_a_file_of_every_format_is_taken(console: Visitor, kind: str, body: bytes) -> None:
    answer = console("PUT", "batches/night", body, kind=kind)

    assert (answer.status, answer.json["added"]) == (200, 2)


def test_every_bad_row_is_listed_and_nothing_is_submitted(console: Visitor, ledger: Ledger) -> None:
    body = b"prompt,seed\na fox,1\nan owl,-4\n,3\n"

    refused = console("PUT", "batches/night", body, kind="text/csv")
    skipped = console("PUT", "batches/half", body, kind="text/csv", skip_invalid="true")

    assert (refused.status, refused.code) == (422, "invalid_prompt_file")
    assert [(line["line"], line["text"]) for line in refused.json["lines"]] == [(3, "an owl,-4"), (4, ",3")]
    assert not ledger.batches.exists("night")
    assert (skipped.json["added"], skipped.json["report"]["skipped"]) == (1, 2)


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("image/png", b"x", 415, "unsupported_media_type"),
        ("application/json", b"{", 422, "invalid_request"),
        ("application/json", b'{"rows": 3}', 422, "invalid_request"),
        ("application/json", b'{"rows": ["a"], "policy": {"colour": 1}}', 422, "invalid_request"),
        ("text/plain", b"", 422, "invalid_prompt_file"),
        ("text/plain", b"\xff\xfe\x00", 422, "invalid_prompt_file"),
    ],
)
def test_what_is_not_rows_is_refused(console: Visitor, kind: str, body: bytes, status: int, code: str) -> None:
    answer = console("PUT", "batches/night", body, kind=kind)

    assert (answer.status, answer.code) == (status, code)
    assert answer.json["advice"]


def test_a_row_with_other_content_is_a_conflict(console: Visitor) -> None:
    console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}]})

    answer = console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a wolf"}]})

    assert (answer.status, answer.code) == (409, "job_conflict")


def test_the_same_key_and_body_are_about_the_same_batch(console: Visitor, ledger: Ledger) -> None:
    key = {"Idempotency-Key": "order-1"}

    first = console("POST", "batches", ROWS, headers=key).json
    again = console("POST", "batches", ROWS, headers=key).json
    other = console("POST", "batches", {"rows": ["a wolf"]}, headers=key)
    alone = console("POST", "batches", ROWS).json

    assert first["batch"] == again["batch"] != alone["batch"]
    assert (first["added"], again["added"], again["unchanged"]) == (2, 0, 2)
    assert (other.status, other.code) == (409, "job_conflict")
    assert len(ledger.batches.all()) == 2


def test_a_dry_run_has_all_bad_rows_and_submits_nothing(console: Visitor, ledger: Ledger) -> None:
    answer = console("POST", "batches:check", b"a fox\na fox\n\nan owl\n" + b"x" * 9000 + b"\n", kind="text/plain",
                     batch="night", finish_by="8h")  # fmt: skip

    found = answer.json
    assert (found["rows"], found["duplicates"], found["new"], found["bad_count"]) == (2, 1, 2, 1)
    assert found["bad"][0]["line"] == 5
    assert found["estimate"]["unknown"].startswith("no clip of this profile has finished yet")
    assert found["estimate"]["in_time"] is None
    assert ledger.batches.all() == []


def test_a_deadline_is_kept_shown_changed_and_taken_away(console: Visitor, ledger: Ledger) -> None:
    answer = console("PUT", "batches/night", ROWS, finish_by="8h")
    kept = console("GET", "batches/night").json
    later = console("PATCH", "batches/night", {"finish_by": "16h"}).json
    without = console("PATCH", "batches/night", {"finish_by": "none"}).json

    assert answer.json["in_time"] is kept["in_time"] is None
    assert abs(kept["finish_by"] - time.time() - 8 * 3600) < 120
    assert abs(later["finish_by"] - time.time() - 16 * 3600) < 120
    assert without["finish_by"] is None
    assert console("PUT", "batches/night", {"rows": ["a fox"]}, finish_by="soon").status == 422


def test_batches_are_listed_by_pages_without_a_gap(console: Visitor) -> None:
    names = [f"b{number}" for number in range(5)]
    for name in names:
        console("PUT", f"batches/{name}", {"rows": ["a fox"]}, owner="me" if name == "b3" else "you")

    seen, cursor = list[str](), ""
    while True:
        page = console("GET", "batches", limit=2, cursor=cursor).json
        seen += [item["name"] for item in page["items"]]
        if not (cursor := page["next"]):
            break

    assert seen == names[::-1]
    assert [item["name"] for item in console("GET", "batches", owner="me").json["items"]] == ["b3"]
    assert console("GET", "batches", active="false").json["items"] == []


@pytest.mark.parametrize("cursor", ["x", "W10", "eyJhIjoxfQ", "é", "A" * 500])
def test_a_cursor_that_is_not_ours_is_refused(console: Visitor, cursor: str) -> None:
    console("PUT", "batches/night", {"rows": ["a fox"]})

    assert console("GET", "batches", cursor=cursor).status == 422
    assert console("GET", "batches/night/jobs", cursor=cursor).status == 422


@pytest.mark.parametrize("name", ["..", "a%2fb", "A", "-x", "%00", "a" * 65, "reports", "é"])
def test_a_name_that_is_not_usable_is_refused(console: Visitor, ledger: Ledger, name: str) -> None:
    answer = console("PUT", f"/api/v1/batches/{name.replace('é', '%C3%A9')}", {"rows": ["a fox"]})

    assert answer.status in (404, 405, 422)
    assert ledger.batches.all() == []
