"""`reelmill metrics`: the farm's metrics for Prometheus, and the addresses of its workers' metrics."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from reelmill_common.errors import InvalidSettings
from reelmill_common.forecast import Aims
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.server import PROMPT
from reelmill_common.metrics.exporter import Document, Endpoint, registry
from reelmill_common.metrics.farm import FarmCollector
from reelmill_common.settings import Settings
from reelmill_producer.cells.placement import served
from reelmill_producer.embedded import state_file

PORT = 9464
"""The port that the OpenTelemetry specification names for a Prometheus exporter."""
TARGETS_PATH = "/targets"
WANTED_PATH = "/wanted"


def metrics(
    *,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = PORT,
) -> None:
    """Serve the farm's metrics to Prometheus at /metrics, until Ctrl-C.

    They are counts by lane, priority and state, and name no prompt, batch or worker. REELMILL_METRICS_TOKEN, if set, is
    required. /targets lists the addresses of the workers' own metrics, for Prometheus' HTTP service discovery, and
    /wanted?lane=LANE how many workers are wanted, for KEDA's metrics-api. Needs the extra reelmill[metrics].
    """
    settings = served(Settings.from_env(os.environ))
    if settings.embedded:
        settings = state_file.attached(settings)
    with Ledger.connect(settings, patience=PROMPT) as ledger:
        collector = FarmCollector(ledger, depth=settings.dispatch_depth, aims=Aims.of(settings))
        serve(collector, address, port, settings.metrics_token)


def serve(collector: FarmCollector, address: str, port: int, token: str) -> None:
    """Answer scrapes until Ctrl-C.

    Raises:
        InvalidSettings: prometheus_client is not installed, or the address or port is not available.
    """
    metrics_registry = registry(collector)
    documents: dict[str, Document] = {TARGETS_PATH: collector.targets, WANTED_PATH: collector.wanted}
    try:
        endpoint = Endpoint(metrics_registry, host=address, port=port, token=token, documents=documents)
    except OSError as err:
        raise InvalidSettings(f"cannot listen on {address}:{port}: {err}; give another --address or --port") from err
    typer.echo(f"figures are at http://{address}:{port}/metrics; Ctrl-C ends this", err=True)
    try:
        endpoint.wait()
    except KeyboardInterrupt:
        pass
    finally:
        endpoint.close()
