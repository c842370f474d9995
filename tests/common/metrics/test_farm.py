from __future__ import annotations

import math
import time
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Ledger, PolicyChange, Result, WorkerInfo
from reelmill_common.metrics.exporter import registry
from reelmill_common.metrics.farm import FarmCollector
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


WORKER = "gpu0@render-7"


PROMPT = "a secret fox that nobody may know of"


def samples(text: str) -> Samples:
    """Return every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(ledger: Ledger) -> Samples:
    return samples(generate_latest(registry(FarmCollector(ledger))).decode())


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def submit(ledger: Ledger, batch: str, count: int, *, priority: int = 5) -> list[str]:
    jobs = [
        RenderJob(batch=batch, row=f"row-{row}", spec=RenderSpec(prompt=PROMPT, seed=row, frames=5, profile="tiny"))
        for row in range(count)
    ]
    ledger.batches.submit(Batch(name=batch, priority=priority, owner="mallory"), jobs)
    return [job.job_id for job in jobs]


def start_worker(ledger: Ledger) -> None:
    ledger.workers.register(WORKER, "tiny", WorkerInfo())
    ledger.workers.ready(WORKER, WorkerInfo())


def test_the_targets_are_the_workers_that_answer(ledger: Ledger) -> None:
    for name in ("ready", "resting", "quarantined", "starting"):
        ledger.workers.register(f"gpu0@{name}", "tiny", WorkerInfo(metrics=f"{name}:9465"))
        if name != "starting":
            ledger.workers.ready(f"gpu0@{name}", WorkerInfo(metrics=f"{name}:9465"))
    ledger.workers.quarantine("gpu0@quarantined", "the canary came out black")
    opens = ledger.timetable.now() + timedelta(hours=2)
    ledger.timetable.keep_hours(
        "gpu0@resting", f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M} UTC", ledger.timetable.now()
    )

    found = FarmCollector(ledger).targets()

    assert found == [{"targets": [f"{name}:9465"], "labels": {"lane": "tiny"}} for name in ("ready", "resting")]


def test_the_metrics_are_those_of_the_ledger(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 5, priority=7)
    sent, _other = ledger.dispatch.pump("tiny", depth=2)
    assert isinstance(ledger.attempts.claim(sent.job_id, sent.generation, WORKER, lease_s=60), Claimed)
    submit(ledger, "later", 2, priority=3)
    ledger.batches.pause("later")
    given_up = submit(ledger, "given-up", 1)
    ledger.jobs.cancel(given_up[0])

    found = scrape(ledger)

    night = {"lane": "tiny", "priority": "7", "batch_state": "active"}
    later = {"lane": "tiny", "priority": "3", "batch_state": "paused"}
    assert {
        state: value(found, "reelmill_jobs", **night, state=state) for state in ("queued", "dispatched", "running")
    } == {
        "queued": 3,
        "dispatched": 1,
        "running": 1,
    }
    assert value(found, "reelmill_jobs", **later, state="queued") == 2
    assert value(found, "reelmill_oldest_wait_seconds", **night) >= value(
        found, "reelmill_oldest_wait_seconds", **later
    )
    assert [value(found, "reelmill_jobs_ended", state=state) for state in ("succeeded", "failed", "cancelled")] == [
        0,
        0,
        1,
    ]
    assert [value(found, "reelmill_batches", state=state) for state in ("active", "paused", "done")] == [1, 1, 1]
    assert value(found, "reelmill_workers", lane="tiny", state="ready") == 1
    assert value(found, "reelmill_leases", lane="tiny") == 1
    assert value(found, "reelmill_ledger_up") == 1


def test_the_time_that_remains_is_that_of_the_forecast_and_not_a_number_where_nothing_is_known(ledger: Ledger) -> None:
    start_worker(ledger)
    nothing = scrape(ledger)
    ids = submit(ledger, "night", 5)
    unmeasured = scrape(ledger)
    (sent, *_) = ledger.dispatch.pump("tiny", depth=2)
    claimed = ledger.attempts.claim(sent.job_id, sent.generation, WORKER, lease_s=60)
    assert isinstance(claimed, Claimed)
    result = Result(key="k", sha256="", size_bytes=1, latents_sha256="", seconds={"denoise": 10.0})
    ledger.attempts.finish(claimed.job_id, claimed.token, result)
    ledger.jobs.pause(ids[4])  # all that may run

    assert value(nothing, "reelmill_remaining_seconds") == 0
    assert math.isnan(value(unmeasured, "reelmill_remaining_seconds"))
    assert value(scrape(ledger), "reelmill_remaining_seconds") == pytest.approx(30)


def test_a_state_without_workers_is_exported_as_0(ledger: Ledger) -> None:
    found = scrape(ledger)

    states = ("starting", "ready", "draining", "quarantined", "dead")
    assert [value(found, "reelmill_workers", lane=lane, state=state) for lane in PROFILES for state in states] == [
        0
    ] * 10


def test_workers_are_wanted_for_what_may_run_and_late_batches_are_counted(ledger: Ledger) -> None:
    submit(ledger, "night", 500)
    submit(ledger, "late", 1)
    change(ledger, "late", time.time() - 60)
    submit(ledger, "in-time", 1)
    change(ledger, "in-time", time.time() + 86_400)

    found = scrape(ledger)

    assert value(found, "reelmill_workers_wanted", lane="tiny") == 5  # 500 clips of an assumed 30 s in an hour
    assert value(found, "reelmill_workers_wanted", lane="fastwan-qad-fp8") == 0
    assert value(found, "reelmill_batches_late") == 1


def change(ledger: Ledger, batch: str, finish_by: float) -> None:
    ledger.batches.set_policy(ledger.batches.get(batch), PolicyChange(finish_by=finish_by))


def test_a_ledger_that_is_away_is_a_metric_and_not_a_failed_scrape(
    own_valkey: ValkeyServer, settings: Settings
) -> None:
    with Ledger.connect(Settings(redis_url=own_valkey.url, farm=settings.farm)) as ledger:
        before = scrape(ledger)
        own_valkey.stop()
        away = scrape(ledger)

    assert value(before, "reelmill_ledger_up") == 1
    assert away == {("reelmill_ledger_up", ()): 0}


def test_a_farm_of_many_batches_is_scraped_quickly(ledger: Ledger) -> None:
    """A thousand batches that wait: the statistics are one script, and other clients wait for it."""
    for number in range(1000):
        submit(ledger, f"batch-{number:04d}", 1, priority=number % 10)

    found = scrape(ledger)
    milliseconds = min(taken(ledger) for _ in range(3))

    assert sum(v for (name, labels), v in found.items() if name == "reelmill_jobs") == 1000
    assert milliseconds < 200  # 20 to 34 measured on two cores (Valkey 9.1); the machine may be busy


def taken(ledger: Ledger) -> float:
    """Return how long the statistics take on the server, in milliseconds."""
    before = ledger._server._redis.info("commandstats")["cmdstat_fcall"]["usec"]
    ledger.overview.stats()
    return (ledger._server._redis.info("commandstats")["cmdstat_fcall"]["usec"] - before) / 1000
