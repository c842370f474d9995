"""Leases: kept while work goes on, looked at where it can stop, and untouched by a ledger that is away."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.bench import NODE, Bench
from fixtures.valkey import wait_for
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.errors import AttemptLost, JobCancelled, LedgerUnavailable
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.attempt.lease import RENEWALS_PER_LEASE, Leases


def lease_end(bench: Bench, job_id: str) -> float:
    """Return when a lease ends, in milliseconds of Redis' clock."""
    return float(bench.ledger._server._redis.zscore(bench.ledger._keys.leases, job_id))


def test_a_held_lease_outlives_its_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ((job_id, generation),) = bench.submit()
    claimed = bench.ledger.attempts.claim(job_id, generation, NODE, lease_s=0.3)
    assert isinstance(claimed, Claimed)
    monkeypatch.setattr("reelmill_worker.attempt.lease.RENEWALS_PER_LEASE", 6000)  # of a minute, which nothing outlasts
    leases = Leases(ledger=bench.ledger, lease_s=60.0)
    claimed_until = lease_end(bench, job_id)

    leases.hold(claimed)
    leases.start()
    renewed_until = wait_for(lambda: found if (found := lease_end(bench, job_id)) > claimed_until else None)
    wait_for(lambda: lease_end(bench, job_id) > renewed_until, what="the next renewal")
    wait_for(lambda: milliseconds(bench.ledger.timetable.now()) > claimed_until, what="the end of the claimed time")
    bench.ledger.dispatch.reap()
    leases.stop()

    assert RENEWALS_PER_LEASE >= 3  # two may be lost
    assert bench.state(job_id) is JobState.RUNNING


def test_a_dropped_lease_runs_out(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    claimed = bench.ledger.attempts.claim(job_id, generation, NODE, lease_s=0.2)
    assert isinstance(claimed, Claimed)

    bench.leases.drop(bench.leases.hold(claimed))

    wait_for(bench.ledger.dispatch.reap, what="the lease's end")
    assert bench.state(job_id) is JobState.QUEUED


def test_a_cancel_order_is_raised_at_the_next_report(bench: Bench) -> None:
    lease = bench.leases.hold(bench.claim())
    bench.leases.report(lease, "denoise 1/3")

    bench.ledger.jobs.cancel(lease.claimed.job_id)

    with pytest.raises(JobCancelled, match="asked to stop"):
        bench.leases.report(lease, "denoise 2/3")


def test_stages_that_follow_quickly_are_not_reported_but_the_end_of_the_render_is(bench: Bench) -> None:
    leases = Leases(ledger=bench.ledger, lease_s=60.0, report_apart_s=600.0)
    lease = leases.hold(bench.claim())

    leases.report(lease, "denoise 1/3")
    before = bench.ledger.jobs.get(lease.claimed.job_id).stage
    leases.report(lease, "mux")

    assert (before, bench.ledger.jobs.get(lease.claimed.job_id).stage) == ("", "mux")


def test_a_lost_lease_is_raised_at_the_next_report(bench: Bench) -> None:
    lease = bench.leases.hold(bench.claim())

    bench.ledger.workers.register(NODE, "tiny", WorkerInfo())  # a new life of the worker's name takes everything back

    with pytest.raises(AttemptLost, match="lost its lease"):
        bench.leases.report(lease, "decode")


def test_an_order_heard_by_the_renewing_thread_is_raised_where_work_can_stop(bench: Bench) -> None:
    lease = bench.leases.hold(bench.claim())

    bench.ledger.jobs.cancel(lease.claimed.job_id)
    bench.leases.renew_all()

    with pytest.raises(JobCancelled):
        lease.check()


def test_work_goes_on_while_the_ledger_is_away_and_the_lease_is_good_when_it_returns(
    settings: Settings, own_valkey: ValkeyServer
) -> None:
    settings = dataclasses.replace(settings, redis_url=own_valkey.url)
    ledger = Ledger.connect(settings)
    claimed = _claim(ledger)
    leases = Leases(ledger=ledger, lease_s=5.0, report_apart_s=0.0)
    lease = leases.hold(claimed)

    own_valkey.kill()
    leases.report(lease, "denoise 1/3")
    leases.report(lease, "denoise 2/3")
    server = ValkeyServer.start(own_valkey.folder)
    try:
        leases.renew_all()
        leases.report(lease, "decode")

        assert ledger.jobs.get(claimed.job_id).stage == "decode"
    finally:
        ledger.close()
        server.stop()


def test_a_word_that_must_be_heard_is_repeated_until_the_ledger_answers(
    settings: Settings, own_valkey: ValkeyServer
) -> None:
    settings = dataclasses.replace(settings, redis_url=own_valkey.url)
    ledger = Ledger.connect(settings)
    claimed = _claim(ledger)
    leases = Leases(ledger=ledger, lease_s=5.0)
    servers: list[ValkeyServer] = []

    def fail_after_the_server_is_back() -> JobState | None:
        try:
            return ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)
        except LedgerUnavailable:
            servers.append(ValkeyServer.start(own_valkey.folder))
            raise

    own_valkey.kill()
    try:
        state = leases.insist(fail_after_the_server_is_back)

        assert len(servers) == 1
        assert state is JobState.FAILED
    finally:
        ledger.close()
        for server in servers:
            server.stop()


def _claim(ledger: Ledger) -> Claimed:
    ledger.workers.register(NODE, "tiny", WorkerInfo())
    ledger.workers.ready(NODE, WorkerInfo())
    spec = RenderSpec(prompt="a fox", frames=5, profile="tiny")
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=spec)])
    (item,) = ledger.dispatch.pump("tiny")
    claimed = ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=5.0)
    assert isinstance(claimed, Claimed)
    return claimed
