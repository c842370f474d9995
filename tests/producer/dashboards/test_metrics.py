from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import replace
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.cli import program, started
from fixtures.s3 import free_port
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
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


def asked_by_keda(url: str, value_location: str, token: str = "") -> float:
    """Ask as KEDA's metrics-api does: a GET with a bearer token, and one number at a place of the JSON document."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/json")
        value = json.loads(answer.read())
    for name in value_location.split("."):
        value = value[name]
    assert type(value) is int
    return value


@pytest.mark.services
def test_what_scales_the_farm_reads_how_many_workers_are_wanted(settings: Settings, ledger: Ledger) -> None:
    submit(ledger, "night", 200)
    ledger.batches.submit(
        Batch(name="fine", worker_class="h100", finish_by=time.time() + 7200),
        [RenderJob(batch="fine", row=f"{n}", spec=RenderSpec(prompt="a", profile="tiny")) for n in range(900)],
    )
    port, token = free_port(), "t" * 24
    chosen = replace(settings, metrics_token=token, autoscale_min=1, autoscale_max=40, autoscale_target_s=600)
    url = f"http://127.0.0.1:{port}/wanted"

    with started("metrics", "--port", str(port), env=chosen.to_env()) as running:
        running.wait_for_line("figures are at")
        one, fine, both, other = (
            asked_by_keda(f"{url}?{query}", "workers", token)
            for query in (
                *("lane=tiny", f"lane={quote('tiny@h100')}", "lane=tiny&lane=tiny@h100"),
                "lane=fastwan-qad-fp8",
            )
        )
        ledger.batches.pause("night")
        ledger.batches.pause("fine")
        held = asked_by_keda(f"{url}?lane=tiny", "workers", token)
        refused = [status_of(f"{url}?lane=tyni", token), status_of(url, "wrong")]

    assert one == 7  # 200 clips of an assumed 30 s, which nobody hurries into less than four leads, less a lead
    assert fine == 5  # 900 clips, with the margin, in two hours less a lead
    assert (both, other) == (one + fine, 1)
    assert held == one
    assert refused == [400, 401]


def status_of(url: str, token: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        asked_by_keda(url, "workers", token)
    with caught.value as err:
        return err.code


@pytest.mark.services
def test_while_the_ledger_is_away_nothing_is_wanted_more_or_less(own_valkey: ValkeyServer, settings: Settings) -> None:
    """An error makes KEDA keep the number of workers that there are; a zero would end them."""
    port = free_port()
    away = replace(settings, redis_url=own_valkey.url)

    with started("metrics", "--port", str(port), env=away.to_env()) as running:
        running.wait_for_line("figures are at")
        own_valkey.stop()
        assert status_of(f"http://127.0.0.1:{port}/wanted?lane=tiny", "") == 503
