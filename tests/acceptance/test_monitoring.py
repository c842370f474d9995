"""A farm under a real Prometheus: three workers of one host side by side, and a stall that is seen and seen to end."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from fixtures.cli import started
from fixtures.deployment import ROOT
from fixtures.farm import Farm, specs
from fixtures.prometheus import PrometheusServer
from fixtures.s3 import free_port
from fixtures.valkey import wait_for

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]  # Prometheus may have to be fetched first

CLIPS = 30
STALL = "ReelmillNoProgress"


def ports_in_a_row(count: int) -> int:
    """Return the first of some ports that were all free just now."""
    while True:
        first = free_port()
        sockets = [socket.socket() for _ in range(count)]
        try:
            for number, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", first + number))
        except OSError:
            continue
        else:
            return first
        finally:
            for probe in sockets:
                probe.close()


@contextmanager
def watched(farm: Farm, start: Callable[[str], PrometheusServer], folder: Path) -> Iterator[PrometheusServer]:
    """Run `reelmill metrics` and Prometheus with the configuration of `infra/`, but in seconds instead of minutes."""
    port = free_port()
    config = (ROOT / "infra/prometheus/prometheus.yml").read_text().replace("metrics:9464", f"127.0.0.1:{port}")
    rules = yaml.safe_load((ROOT / "infra/prometheus/alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = "1s"
        rule["expr"] = re.sub(r"\[\d+m\]", "[4s]", rule["expr"])
    quick = folder / "alerts.yml"
    quick.write_text(yaml.safe_dump(rules))
    config = config.replace("15s", "1s").replace("alerts.yml", str(quick))
    with started("metrics", "--port", str(port), env=farm.settings.to_env()) as running:
        running.wait_for_line("figures are at")
        yield start(config)


def shares(server: PrometheusServer) -> dict[str, float]:
    """Return the clips that each worker has stored, as Prometheus scraped them."""
    result = server.ask("query", query='reelmill_clips_total{outcome="stored"}')["result"]
    return {sample["metric"]["instance"]: float(sample["value"][1]) for sample in result}


def test_three_workers_of_a_host_share_its_work_are_each_scraped_and_end_in_order(
    make_farm: Callable[..., Farm],
    tiny_model: Path,
    start_prometheus: Callable[[str], PrometheusServer],
    tmp_path: Path,
) -> None:
    first = ports_in_a_row(3)
    farm = make_farm(model_dir=str(tiny_model), metrics_port=first, video_threads=1)
    workers = farm.start_all(3)

    with watched(farm, start_prometheus, tmp_path) as prometheus:
        jobs = farm.submit("night", specs(CLIPS))
        farm.wait_done("night")
        wait_for(lambda: sum(shares(prometheus).values()) == CLIPS, what=f"{CLIPS} clips in Prometheus")
        scraped = shares(prometheus)
        busy = prometheus.value('sum(reelmill_stage_seconds_count{stage="denoise"})')
    pages = [
        urllib.request.urlopen(f"http://127.0.0.1:{first + number}/metrics", timeout=30).read().decode()
        for number in range(3)
    ]
    for worker in workers:
        worker.terminate()
    statuses = [worker.wait() for worker in workers]

    assert set(scraped) == {f"127.0.0.1:{first + number}" for number in range(3)}
    assert min(scraped.values()) >= 0.6 * CLIPS / 3, scraped
    assert busy == CLIPS
    assert {re.findall(r'worker="(\w+)@', page)[0] for page in pages} == {"cpu0", "cpu1", "cpu2"}
    for page in pages:
        assert re.search(r'^reelmill_idle_gap_seconds_count\{cause="queue"\} ', page, re.MULTILINE)
        assert not [secret for secret in ("fox", "night", *jobs) if secret in page]
    assert statuses == [0, 0, 0]
    assert farm.ledger.workers.all() == []
    assert list((farm.settings.state_dir / "run").glob("*.figures")) == []
    farm.assert_stored_once("night", jobs)


def test_work_that_nobody_does_fires_an_alert_that_ends_when_it_is_done_again(
    make_farm: Callable[..., Farm], start_prometheus: Callable[[str], PrometheusServer], tmp_path: Path
) -> None:
    farm = make_farm(renderer="fixed:0.05", metrics_port=ports_in_a_row(1))
    worker = farm.start()

    with watched(farm, start_prometheus, tmp_path) as prometheus:
        farm.submit("evening", specs(3))
        farm.wait_done("evening")
        wait_for(lambda: prometheus.value('reelmill_jobs_ended{state="succeeded"}') == 3, what="three clips scraped")
        wait_for(lambda: prometheus.value("sum(changes(reelmill_jobs_ended[4s]))") == 0, what="a quiet farm")
        quiet = prometheus.firing()
        stopped = [worker.process.pid, worker.parent_pid, farm.child_pid(worker)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            farm.submit("night", specs(40))
            wait_for(lambda: STALL in prometheus.firing(), what="the alert")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        farm.wait_done("night")
        wait_for(lambda: STALL not in prometheus.firing(), what="the end of the alert")

    assert STALL not in quiet
    assert farm.ledger.batches.get("night").total == 40
