"""A worker's figures as Prometheus reads them: names, values, the door, and a GPU's sensors."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from fixtures.http_status import status
from fixtures.nvml import UUID, NvmlError, nvml
from fixtures.s3 import free_port
from fixtures.valkey import wait_for
from reelmill_common.ledger import WorkerInfo, WorkerState
from reelmill_common.metrics.exporter import Endpoint, registry
from reelmill_common.settings import Settings
from reelmill_worker.host.gpu_sensors import GpuSensors
from reelmill_worker.ipc.counters import Counters, LoadTime
from reelmill_worker.parent.metrics import Exporter, WorkerCollector, _gpu

INFO = WorkerInfo(
    renderer="model",
    model_hash="0123456789abcdef0123",
    plan={"gpu": "NVIDIA H100", "linears": "fp8", "attention": "sage", "text_encoder": "gpu", "reasons": ["a\nb"]},
)


@dataclass(slots=True, kw_only=True)
class ServedMetrics:
    """A collector over a file of figures."""

    path: Path
    state: WorkerState = WorkerState.READY
    info: WorkerInfo = INFO

    @property
    def collector(self) -> WorkerCollector:
        return WorkerCollector(
            worker="gpu0@render-7",
            profile="tiny",
            counted=self.path,
            state=lambda: self.state,
            info=lambda: self.info,
        )

    def scrape(self) -> dict[str, float]:
        """Return every sample by its name and labels as Prometheus writes them, without `worker_info`'s labels."""
        return samples(generate_latest(registry(self.collector)).decode())


def samples(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@pytest.fixture
def served(tmp_path: Path) -> ServedMetrics:
    return ServedMetrics(path=tmp_path / "gpu0@render-7.1.figures")


def test_what_the_child_counted_is_what_is_served(served: ServedMetrics) -> None:
    counters = Counters(served.path)
    counters.start(lambda: LoadTime(deliveries=2, spool_bytes=4096, store_up=False))
    counters.passed_gate(12.5)
    counters.took({"denoise": 0.75, "decode": 0.3})
    counters.took({"denoise": 1.25})
    counters.ended("stored")
    counters.ended("retried", "out_of_memory")
    counters.store_failed("store_unavailable")
    counters.stop()

    found = served.scrape()

    assert found["reelmill_stage_seconds_count{stage=denoise}"] == 2
    assert found["reelmill_stage_seconds_sum{stage=denoise}"] == 2.0
    assert found["reelmill_stage_seconds_bucket{le=0.5,stage=denoise}"] == 0
    assert found["reelmill_stage_seconds_bucket{le=1.0,stage=denoise}"] == 1
    assert found["reelmill_stage_seconds_bucket{le=+Inf,stage=denoise}"] == 2
    assert found["reelmill_idle_gap_seconds_sum{cause=starting}"] == 12.5
    assert found["reelmill_clips_total{outcome=stored}"] == 1
    assert found["reelmill_clips_total{outcome=retried}"] == 1
    assert found["reelmill_failures_total{code=out_of_memory}"] == 1
    assert found["reelmill_store_errors_total{code=store_unavailable}"] == 1
    assert (found["reelmill_deliveries"], found["reelmill_spool_bytes"], found["reelmill_store_up"]) == (2, 4096, 0)
    assert (found["reelmill_starts_total"], found["reelmill_startup_seconds"]) == (1, 12.5)
    assert 0 <= found["reelmill_idle_seconds"] < 60


def test_a_worker_says_what_it_is_and_where_it_stands_before_anything_was_counted(served: ServedMetrics) -> None:
    served.state, served.info = WorkerState.STARTING, WorkerInfo()
    starting = served.scrape()
    served.state = WorkerState.RESTING
    resting = served.scrape()
    served.state, served.info = WorkerState.QUARANTINED, INFO
    unfit = served.scrape()

    assert starting["reelmill_worker_state{state=starting}"] == 1
    assert resting["reelmill_worker_state{state=resting}"] == 1
    assert {name: value for name, value in unfit.items() if name.startswith("reelmill_worker_state")} == {
        "reelmill_worker_state{state=starting}": 0,
        "reelmill_worker_state{state=ready}": 0,
        "reelmill_worker_state{state=draining}": 0,
        "reelmill_worker_state{state=resting}": 0,
        "reelmill_worker_state{state=paused}": 0,
        "reelmill_worker_state{state=quarantined}": 1,
    }
    (info,) = [name for name in unfit if name.startswith("reelmill_worker_info")]
    for part in ("worker=gpu0@render-7", "model=0123456789abcdef,", "gpu=NVIDIA H100", "linears=fp8"):
        assert part in info
    assert "reelmill_idle_seconds" not in starting


def test_names_follow_the_conventions_of_prometheus(served: ServedMetrics) -> None:
    text = generate_latest(registry(served.collector)).decode()

    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert len(kinds) > 8
    assert all(name.startswith("reelmill_") for name in kinds)
    assert {name for name, kind in kinds.items() if kind == "counter"} == {
        name for name in kinds if name.endswith("_total")
    }


def test_a_worker_whose_port_is_taken_says_so_and_serves_when_it_is_free(
    served: ServedMetrics, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_worker.parent.metrics.RETRY_S", 0.05)
    other = Endpoint(registry(), host="127.0.0.1", port=0)
    exporter = Exporter(replace(settings, metrics_port=other.port), served.collector, served.path)

    with capture_logs() as logs:
        exporter.start()
        wait_for(lambda: [line["event"] for line in logs] == ["metrics.refused"], what="a refusal")
        other.close()
        wait_for(lambda: logs[-1]["event"] == "metrics.served", what="the port")
    answer = status(f"http://127.0.0.1:{other.port}/metrics")
    exporter.stop()

    assert answer == 200
    assert [line["event"] for line in logs] == ["metrics.refused", "metrics.served"]
    with pytest.raises(urllib.error.URLError):
        status(f"http://127.0.0.1:{other.port}/metrics")


def test_what_a_killed_parent_of_the_same_name_left_is_removed_and_no_other_workers(
    served: ServedMetrics, settings: Settings
) -> None:
    ours, left, others = (
        served.path.with_name(name) for name in ("gpu0@h.2.figures", "gpu0@h.1.figures", "gpu1@h.1.figures")
    )
    for path in (ours, left, others):
        path.write_text("{}")

    Exporter(settings, served.collector, ours).start()

    assert [path.exists() for path in (ours, left, others)] == [True, False, True]


def test_without_a_port_nothing_is_served(served: ServedMetrics, settings: Settings) -> None:
    exporter = Exporter(settings, served.collector, served.path)

    exporter.start()

    assert not exporter._thread.is_started
    exporter.stop()


def test_a_worker_serves_the_farms_figures_too_when_it_is_told_to(served: ServedMetrics, settings: Settings) -> None:
    changed = replace(settings, metrics_port=free_port(), metrics_scope="farm")
    exporter = Exporter(changed, served.collector, served.path)

    exporter.start()
    wait_for(lambda: exporter._endpoint, what="the endpoint")
    with urllib.request.urlopen(f"http://127.0.0.1:{changed.metrics_port}/metrics", timeout=30) as answer:
        found = samples(answer.read().decode())
    exporter.stop()

    assert found["reelmill_ledger_up"] == 1
    assert found["reelmill_worker_state{state=ready}"] == 1


def gpu_samples(sensors: GpuSensors) -> dict[str, float]:
    class Sensors:
        def describe(self) -> list[Any]:
            return []

        def collect(self) -> Iterator[Any]:
            return _gpu(list(sensors.read()))

    return samples(generate_latest(registry(Sensors())).decode())


def test_a_cards_sensors_are_told_in_base_units() -> None:
    found = gpu_samples(GpuSensors(UUID, nvml()))

    assert found == {
        "reelmill_gpu_memory_used_bytes": 3 * 2**30,
        "reelmill_gpu_memory_bytes": 80 * 2**30,
        "reelmill_gpu_busy_ratio": 0.97,
        "reelmill_gpu_power_watts": 651.25,
        "reelmill_gpu_energy_joules_total": 12.5,
        "reelmill_gpu_temperature_celsius": 71,
        "reelmill_gpu_throttled{reason=power_cap}": 1,
        "reelmill_gpu_throttled{reason=hardware_slowdown}": 0,
        "reelmill_gpu_throttled{reason=software_thermal}": 0,
        "reelmill_gpu_throttled{reason=hardware_thermal}": 0,
        "reelmill_gpu_throttled{reason=hardware_power_brake}": 0,
    }


def test_a_figure_that_a_card_lacks_is_left_out_and_the_others_are_there() -> None:
    def lacks(_gpu: str) -> int:
        raise NvmlError("Not Supported")

    found = gpu_samples(GpuSensors(UUID, nvml(nvmlDeviceGetTotalEnergyConsumption=lacks)))

    assert "reelmill_gpu_energy_joules_total" not in found
    assert found["reelmill_gpu_power_watts"] == 651.25


@pytest.mark.parametrize("uuid", ["", "MIG-1"])
def test_what_has_no_sensors_is_asked_once_and_told_nothing(uuid: str) -> None:
    with capture_logs() as logs:
        sensors = GpuSensors(uuid, nvml())
        found = [gpu_samples(sensors) for _ in range(2)]

    assert found == [{}, {}]
    assert [line["event"] for line in logs] == (["gpu.without_sensors"] if uuid else [])


def test_without_a_card_the_installed_package_harms_nothing() -> None:
    with capture_logs() as logs:
        found = gpu_samples(GpuSensors("GPU-of-no-card"))

    assert found == {}
    assert [line["event"] for line in logs] == ["gpu.without_sensors"]
