"""Schedules over HTTP."""

from __future__ import annotations

from fixtures.visitor import Visitor
from reelmill_common.ledger import Ledger

NIGHTLY = {"cron": "0 22 * * *", "tz": "Europe/Vienna", "rows": ["a fox", {"prompt": "an owl", "seed": 3}]}


def test_a_schedule_is_put_paused_run_and_removed(console: Visitor, ledger: Ledger) -> None:
    made = console("PUT", "schedules/nightly", {**NIGHTLY, "policy": {"priority": 3}}).json
    paused = console("POST", "schedules/nightly/pause", {}).json
    resumed = console("POST", "schedules/nightly/resume", {}).json
    batch = console("POST", "schedules/nightly/run", {}).json["batch"]

    assert (made["jobs"], made["cron"], made["tz"], made["policy"]) == (
        2,
        "0 22 * * *",
        "Europe/Vienna",
        {"priority": 3},
    )
    assert (paused["paused"], resumed["paused"]) == (True, False)
    assert (ledger.batches.get(batch).total, ledger.batches.get(batch).priority) == (2, 3)
    assert console("DELETE", "schedules/nightly").status == 204
    assert console("GET", "schedules/nightly").status == 404


def test_a_schedule_with_a_bad_row_or_time_is_refused(console: Visitor) -> None:
    bad_row = console("PUT", "schedules/nightly", {**NIGHTLY, "rows": ["a fox", {"prompt": ""}]})
    bad_time = console("PUT", "schedules/nightly", {**NIGHTLY, "cron": "99 * * * *"})

    assert [line["line"] for line in bad_row.json["lines"]] == [2]
    assert bad_time.status == 422
    assert console("GET", "schedules").json["items"] == []
