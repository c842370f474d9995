"""A worker's metrics for Prometheus, served by its Celery parent: what its children counted, and the GPU's sensors."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from reelmill_common.errors import ReelmillError
from reelmill_common.forecast import Aims
from reelmill_common.ledger import Ledger, WorkerInfo, WorkerState
from reelmill_common.metrics.exporter import Endpoint, counter, gauge, registry
from reelmill_common.metrics.farm import FarmCollector
from reelmill_common.provenance.identity import expires_at
from reelmill_common.services.background import BackgroundThread, ErrorLog
from reelmill_common.settings import Settings
from reelmill_worker.host.gpu_sensors import GpuSensors, SensorReading
from reelmill_worker.ipc import counters
from reelmill_worker.ipc.counters import CounterValues, Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

RETRY_S = 5.0
"""Seconds until a port that was taken is tried again: a parent that was restarted may meet its predecessor's."""
STATES = tuple(state for state in WorkerState if state not in (WorkerState.DEAD, WorkerState.GONE))
PLAN_LABELS = ("gpu", "linears", "attention", "text_encoder")


class WorkerCollector:
    """What Prometheus' client library asks at each scrape.

    Args:
        worker: Node name.
        profile: Model profile.
        counted: The file in which the children count, see `ipc.counters`.
        state: Returns the worker's state.
        info: Returns what the present child reports about itself; empty while there is none.
        certificate: PEM file of the certificate that clips are signed with; empty if they are not signed.
    """

    def __init__(
        self,
        *,
        worker: str,
        profile: str,
        counted: Path,
        state: Callable[[], WorkerState],
        info: Callable[[], WorkerInfo],
        certificate: str = "",
    ) -> None:
        self._worker = worker
        self._profile = profile
        self._counted = counted
        self._state = state
        self._info = info
        self._certificate = certificate
        self._sensors: tuple[str, GpuSensors] = ("", GpuSensors(""))

    def describe(self) -> list[Metric]:
        """Return nothing, so that nothing is read at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        values, info = counters.read(self._counted), self._info()
        yield from self._identity(info)
        yield from _certificate(self._certificate)
        yield from _counts(values)
        yield from _load(values)
        yield from _gpu(list(self._gpu_sensors(info).read()))

    def _identity(self, info: WorkerInfo) -> Iterator[Metric]:
        labels = {
            "worker": self._worker,
            "lane": self._profile,
            "version": version("reelmill"),
            "renderer": info.renderer,
            "model": info.model_hash[:16],
            **{name: str(info.plan.get(name, "")) for name in PLAN_LABELS},
        }
        yield gauge("reelmill_worker_info", "What this worker is.", [*labels], [(tuple(labels.values()), 1)])
        now = self._state()
        states: list[tuple[tuple[str, ...], float]] = [((state,), state is now) for state in STATES]
        yield gauge("reelmill_worker_state", "1 for the state that it is in.", ["state"], states)

    def _gpu_sensors(self, info: WorkerInfo) -> GpuSensors:
        if info.gpu_uuid and info.gpu_uuid != self._sensors[0]:
            self._sensors = (info.gpu_uuid, GpuSensors(info.gpu_uuid))
        return self._sensors[1]


class Exporter:
    """Serves a worker's metrics from a daemon thread; a worker whose port is taken renders all the same."""

    def __init__(self, settings: Settings, collector: WorkerCollector, counted: Path) -> None:
        """Take what is served. `counted` is the file of the children, removed at the end."""
        self._settings = settings
        self._collector = collector
        self._counted = counted
        self._endpoint: Endpoint | None = None
        self._errors = ErrorLog()
        self._thread = BackgroundThread(name="exporter", work=self._listen, every_s=RETRY_S, at_once=True)

    def start(self) -> None:
        """Begin, once, if the settings name a port. The file of a killed parent of the same name is removed."""
        worker = self._counted.name.rsplit(".", 2)[0]
        for old in self._counted.parent.glob(f"{glob.escape(worker)}.*{self._counted.suffix}"):
            if old != self._counted:
                old.unlink(missing_ok=True)
        if self._settings.metrics_port:
            self._thread.start()

    def stop(self) -> None:
        """Stop listening. The child is gone when this is called."""
        self._thread.close()
        if self._endpoint is not None:
            self._endpoint.close()
        self._counted.unlink(missing_ok=True)

    def _listen(self) -> None:
        try:
            self._endpoint = self._open()
        except (OSError, ReelmillError) as err:
            if self._errors.is_new(str(err)):
                log.warning("metrics.refused", port=self._settings.metrics_port, error=str(err))
        else:
            self._thread.every_s = None  # there is nothing left to do
            log.info("metrics.served", host=self._settings.metrics_host, port=self._endpoint.port)

    def _open(self) -> Endpoint:
        settings = self._settings
        served: list[Collector] = [self._collector]
        if settings.metrics_scope == "farm":
            ledger = Ledger.connect(settings, shared=True)
            served.append(FarmCollector(ledger, depth=settings.dispatch_depth, aims=Aims.of(settings)))
        host, port, token = settings.metrics_host, settings.metrics_port, settings.metrics_token
        return Endpoint(registry(*served), host=host, port=port, token=token)


def _certificate(path: str) -> Iterator[Metric]:
    """Yield when a certificate ends, if there is one; 0 if it cannot be read."""
    if not path:
        return
    try:
        ends_at = expires_at(path)
    except ReelmillError:
        ends_at = 0.0
    yield gauge(
        "reelmill_certificate_expires_timestamp_seconds",
        "When the certificate that clips are signed with ends, in Unix time; 0: it cannot be read.",
        (),
        [((), ends_at)],
    )


def _counts(values: CounterValues) -> Iterator[Metric]:
    yield counter("reelmill_clips", "Attempts by how they ended.", ["outcome"], _by_name(values.clips))
    yield counter("reelmill_failures", "Failed attempts by error code.", ["code"], _by_name(values.failures))
    yield counter("reelmill_store_errors", "Uploads that the store failed.", ["code"], _by_name(values.store_errors))
    yield _histogram("reelmill_stage_seconds", "Time of a clip in a stage.", "stage", values.stages)
    yield _histogram("reelmill_idle_gap_seconds", "Time between two renders, by cause.", "cause", values.gaps)
    yield counter("reelmill_starts", "Times that the model was loaded.", (), [((), values.starts)])
    yield gauge("reelmill_startup_seconds", "Time of the last start-up.", (), [((), values.startup_s)])


def _load(values: CounterValues) -> Iterator[Metric]:
    load = values.load
    yield gauge("reelmill_deliveries", "Clips rendered and not yet stored.", (), [((), load.deliveries)])
    yield gauge("reelmill_spool_bytes", "Disk of clips that wait for the store.", (), [((), load.spool_bytes)])
    yield gauge("reelmill_store_up", "Whether the store took the last clip.", (), [((), load.store_up)])
    if values.starts:  # both clocks are this host's monotonic one
        idle_s = time.monotonic() - values.idle_since if values.idle_since else 0.0
        yield gauge("reelmill_idle_seconds", "Time since the last render; 0 during one.", (), [((), idle_s)])


def _gpu(readings: list[SensorReading]) -> Iterator[Metric]:
    for name in dict.fromkeys(reading.name for reading in readings):
        same = [reading for reading in readings if reading.name == name]
        kind = counter if same[0].grows else gauge
        labels = ["reason"] if same[0].reason else []
        samples = [((reading.reason,) if labels else (), reading.value) for reading in same]
        yield kind(f"reelmill_gpu_{name}", same[0].help, labels, samples)


def _by_name(counts: Mapping[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((name,), count) for name, count in counts.items()]


def _histogram(name: str, text: str, label: str, spreads: Mapping[str, Histogram]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - see `exposition.registry`

    family = HistogramMetricFamily(name, text, labels=[label])
    ends = [*(str(bound) for bound in counters.BOUNDS_S), "+Inf"]
    for value, spread in spreads.items():
        family.add_metric([value], list(zip(ends, accumulate(spread.counts), strict=True)), sum_value=spread.total_s)
    return family
