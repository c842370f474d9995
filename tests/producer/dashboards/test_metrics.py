from __future__ import annotations

import re
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.cli import program, started
from fixtures.s3 import free_port
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings

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


@pytest.mark.services
def test_a_scrape_of_the_real_program_names_no_prompt_batch_job_or_worker(settings: Settings, ledger: Ledger) -> None:
    start_worker(ledger)
    ids = submit(ledger, "very-private-batch", 3)
    ledger.workers.quarantine(WORKER, "the canary came out black")
    port = free_port()

    with started("metrics", "--port", str(port), env=settings.to_env()) as running:
        running.wait_for_line("figures are at")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        running.interrupt()
        status = running.wait()

    found = samples(text)
    assert found["reelmill_workers", (("lane", "tiny"), ("state", "quarantined"))] == 1
    queued = (("batch_state", "active"), ("lane", "tiny"), ("priority", "5"), ("state", "queued"))
    assert found["reelmill_jobs", queued] == 3
    for secret in ["secret", "very-private-batch", "mallory", "row-", WORKER, "render-7", "canary", *ids]:
        assert secret not in text
    assert {label for _, labels in found for label, _ in labels} == {"lane", "priority", "batch_state", "state"}
    assert status == 0


@pytest.mark.services
def test_a_port_that_is_taken_is_said_so(settings: Settings, redis_url: str) -> None:
    (taken,) = re.findall(r":(\d+)/", redis_url)

    ran = program("metrics", "--port", taken, env=settings.to_env())

    assert ran.status == 78
    assert f"cannot listen on 127.0.0.1:{taken}" in ran.err
    assert "give another --address or --port" in ran.err
