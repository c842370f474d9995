from __future__ import annotations

import pytest
import redis

from common.ledger_steps import LANE, begin, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.errors import NotFound
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, queries


def test_an_unknown_job_is_named(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no job no-such-job"):
        ledger.jobs.get("no-such-job")


def test_batches_are_listed_newest_first(ledger: Ledger, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for name in ("birch", "amber", "cedar"):
            submit(ledger, name, 1)
            made = ledger.batches.get(name).created_at
            wait_for(lambda made=made: client.time()[0] + client.time()[1] / 1e6 > made + 0.002)

    assert [batch.name for batch in ledger.batches.all()] == ["cedar", "amber", "birch"]


def test_jobs_are_read_in_pages(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "CHUNK", 4)
    ids = submit(ledger, "night", 23)

    assert [view.job_id for view in ledger.jobs.page("night", start=5, count=10)] == ids[5:15]
    assert [view.job_id for view in ledger.jobs.page("night", start=20, count=10)] == ids[20:]
    assert ledger.jobs.page("night", start=23) == []
    assert ledger.jobs.page("night", count=0) == []


@pytest.mark.parametrize(
    ("states", "rows"),
    [
        pytest.param([JobState.SUCCEEDED], [0], id="succeeded: the whole batch is looked at"),
        pytest.param([JobState.FAILED], [1], id="failed: from the index"),
        pytest.param([JobState.CANCELLED, JobState.FAILED], [1, 5], id="to be retried: from the index"),
        pytest.param([JobState.RUNNING], [2], id="running: from the index"),
        pytest.param([JobState.RUNNING, JobState.DISPATCHED], [2, 3], id="in flight: from the index"),
        pytest.param([JobState.QUEUED, JobState.FAILED], [1, 4, 6, 7, 8, 9], id="a mixture"),
        pytest.param([JobState.CANCEL_REQUESTED], [], id="none there"),
    ],
)
def test_jobs_are_read_by_state_in_the_order_of_submission(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, states: list[JobState], rows: list[int]
) -> None:
    monkeypatch.setattr(queries, "CHUNK", 4)
    ids = submit(ledger, "night", 10)
    start_worker(ledger)
    done, failed, _ = begin(ledger), begin(ledger), begin(ledger)
    ledger.attempts.finish(done.job_id, done.token, make_result())
    ledger.attempts.fail(failed.job_id, failed.token, "bad_output", "black", retryable=False)
    ledger.dispatch.pump(LANE, depth=1)
    ledger.jobs.cancel(ids[5])

    found = ledger.jobs.page("night", states=states)

    assert [view.row for view in found] == [f"r{row}" for row in rows]
    assert ledger.jobs.page("night", states=states, start=1, count=2) == found[1:3]
