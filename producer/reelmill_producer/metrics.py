"""The farm's figures for Prometheus, read from the ledger at each scrape; no prompt, batch, job or worker is named.

Workers have figures of their own, of stages and GPUs; these are the ones that exist while no worker lives.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reelmill_common.errors import InvalidSettings, LedgerRefused, LedgerUnavailable
from reelmill_common.ledger import Census, Ledger, WorkerState, WorkerView
from reelmill_common.ledger.census import Line
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings
from reelmill_producer import state_file

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

EPILOG = "Try: reelmill metrics --address 0.0.0.0"
PORT = 9464
"""The port that the OpenTelemetry specification names for a Prometheus exporter."""


def metrics(
    *,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = PORT,
) -> None:
    """Serve the farm's figures to Prometheus at /metrics, until Ctrl-C.

    They are counts by lane, priority and state, and name no prompt and no batch, so there is no password. Needs
    pip install 'reelmill[metrics]'.
    """
    settings = Settings.from_env(os.environ)
    if settings.embedded:
        settings = state_file.attached(settings)
    with Ledger.connect(settings) as ledger:
        serve(registry(ledger), address, port)


def registry(ledger: Ledger) -> CollectorRegistry:
    """Return a registry with the farm's figures and nothing of this process.

    Raises:
        InvalidSettings: prometheus_client is not installed.
    """
    try:
        from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415 - an extra that most hosts do not need
    except ImportError as err:
        raise InvalidSettings(f"metrics cannot be served ({err}); run pip install 'reelmill[metrics]'") from err
    found = CollectorRegistry()
    found.register(FarmCollector(ledger))
    return found


def serve(figures: CollectorRegistry, address: str, port: int) -> None:
    """Answer scrapes until Ctrl-C.

    Raises:
        InvalidSettings: The address or port cannot be had.
    """
    from prometheus_client import start_http_server  # noqa: PLC0415 - see `registry`

    try:
        server, thread = start_http_server(port, address, figures)
    except OSError as err:
        raise InvalidSettings(f"cannot listen on {address}:{port}: {err}; give another --address or --port") from err
    typer.echo(f"figures are at http://{address}:{port}/metrics; Ctrl-C ends this", err=True)
    try:
        thread.join()
    except KeyboardInterrupt:
        pass
    finally:
        server.shutdown()
        server.server_close()


class FarmCollector:
    """What Prometheus' client library asks at each scrape. Safe from several threads: scrapes wait for each other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are known without asking the ledger at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every figure, or only that the ledger does not answer."""
        try:
            with self._lock:
                census, workers = self._ledger.census(), self._ledger.workers()
        except (LedgerUnavailable, LedgerRefused):
            yield _gauge("reelmill_ledger_up", "Whether the ledger answers.", (), [((), 0)])
            return
        yield _gauge("reelmill_ledger_up", "Whether the ledger answers.", (), [((), 1)])
        yield from _jobs(census)
        yield from _workers(workers)


def _jobs(census: Census) -> Iterator[Metric]:
    where = ("lane", "priority", "batch_state")
    yield _gauge(
        "reelmill_jobs",
        "Jobs that have not ended.",
        (*where, "state"),
        [((*_where(line), state), count) for line in census.lines for state, count in line.counts.items()],
    )
    yield _gauge(
        "reelmill_oldest_wait_seconds",
        "Time since the oldest queued job was submitted.",
        where,
        [(_where(line), line.oldest_wait_s) for line in census.lines],
    )
    yield _gauge(
        "reelmill_jobs_ended",
        "Jobs by how they ended, of the batches that the ledger keeps; a retried job leaves.",
        ("state",),
        [((state,), count) for state, count in census.ended.items()],
    )
    batches = [((state,), count) for state, count in census.batches.items()]
    yield _gauge("reelmill_batches", "Batches by state.", ("state",), batches)


def _where(line: Line) -> tuple[str, str, str]:
    return line.lane, str(line.priority), line.batch_state


def _workers(workers: Iterable[WorkerView]) -> Iterator[Metric]:
    # Every state of every lane is there, as 0 if need be: an alert on a series that does not exist never fires.
    counts: dict[tuple[str, ...], int] = {(lane, state): 0 for lane in PROFILES for state in WorkerState}
    leases: dict[tuple[str, ...], int] = {(lane,): 0 for lane in PROFILES}
    for worker in workers:
        key = (worker.lane, worker.state)
        counts[key] = counts.get(key, 0) + 1
        leases[(worker.lane,)] = leases.get((worker.lane,), 0) + len(worker.jobs)
    yield _gauge("reelmill_workers", "Workers by state.", ("lane", "state"), list(counts.items()))
    yield _gauge("reelmill_leases", "Jobs under a worker's lease.", ("lane",), list(leases.items()))


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]) -> Any:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see `registry`

    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
