"""Composes what a rendering process works with, once its gate has been passed: leases, deliveries, threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.services.background import BackgroundThread
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.worker_classes import lanes_of
from reelmill_worker.attempt.attempt_logs import AttemptLogs
from reelmill_worker.attempt.lease import Leases
from reelmill_worker.child.dispatch_share import DispatchShare
from reelmill_worker.child.job_runner import JobRunner
from reelmill_worker.child.prefetch import Prefetcher
from reelmill_worker.child.renderer import Renderer
from reelmill_worker.delivery.clip_files import ClipWriter
from reelmill_worker.delivery.delivery_queue import DeliveryQueue
from reelmill_worker.delivery.marks import ClipMarker
from reelmill_worker.delivery.publisher import ClipPublisher
from reelmill_worker.host.gpu_sensors import GpuSensors
from reelmill_worker.ipc.child_files import ChildFiles
from reelmill_worker.ipc.counters import Counters
from reelmill_worker.ipc.progress import StagePace

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What passed the gate.

    Attributes:
        settings: Settings of the farm.
        worker: Node name.
        profile: Model profile.
        files: Where this process reports to its parent.
        spool: Folder of this process for clips on their way.
        marker: Signs these.
        info: What the ledger should know about the worker.
    """

    settings: Settings
    worker: str
    profile: str
    files: ChildFiles
    renderer: Renderer
    store: ClipStore
    ledger: Ledger
    spool: Path
    marker: ClipMarker
    info: WorkerInfo


def compose(
    checked: Checked,
    *,
    pump: Callable[[], object],
    report: Callable[[WorkerInfo], None],
    end_process: Callable[[str], None],
) -> JobRunner:
    """Start the threads of a process that may render, and return its job runner.

    Args:
        checked: What passed the gate.
        pump: Dispatches what the ledger has for the worker's lanes.
        report: Reports new facts about the worker to the parent.
        end_process: Ends this process, with the reason.
    """
    settings, ledger = checked.settings, checked.ledger
    counters = Counters(checked.files.counters)
    logs = AttemptLogs.of(settings, checked.store)
    leases = Leases(ledger=ledger, lease_s=settings.lease_s, counters=counters, logs=logs)
    # The parent's tick dispatches too; this thread only does so earlier.
    dispatch = BackgroundThread(name="dispatch", work=pump, on_error=_debug("dispatch.failed"))
    deliveries = _deliveries(checked, leases, on_end=dispatch.wake, report=report)
    prefetcher, prefetch = _prefetch(checked)
    share = DispatchShare(wake=dispatch.wake, workers=lambda: prefetcher.workers)
    for part in (leases, dispatch, deliveries, *([prefetch] if _prefetches(settings, checked.info) else ())):
        part.start()
    counters.start(deliveries.load)
    logs.start()
    return JobRunner(
        worker=checked.worker,
        lease_s=settings.lease_s,
        ledger=ledger,
        renderer=checked.renderer,
        leases=leases,
        deliveries=deliveries,
        dispatch=share.clip,
        prefetch=prefetch.wake,
        end_process=end_process,
        joules=GpuSensors(checked.info.gpu_uuid).joules,
        pace=StagePace(path=checked.files.progress),
    )


def _deliveries(
    checked: Checked, leases: Leases, *, on_end: Callable[[], None], report: Callable[[WorkerInfo], None]
) -> DeliveryQueue:
    settings = checked.settings
    writer = ClipWriter(
        settings=settings,
        renderer=checked.renderer.describe(),
        worker=checked.worker,
        spool=checked.spool,
        marker=checked.marker,
    )
    return DeliveryQueue(
        publisher=ClipPublisher(store=checked.store, leases=leases, writer=writer, on_end=on_end),
        limit=settings.max_deliveries,
        spool_bytes=settings.spool_mb * 1_000_000,
        on_store_error=lambda text: report(replace(checked.info, trouble=text or checked.info.trouble)),
    )


def _prefetch(checked: Checked) -> tuple[Prefetcher, BackgroundThread]:
    lanes = lanes_of(checked.profile, checked.info.classes)
    prefetcher = Prefetcher(
        worker=checked.worker,
        shared=checked.settings.embedding_cache != "off",
        upcoming=lambda share: checked.ledger.dispatch.upcoming(*lanes, share=share),
        prepare=checked.renderer.prepare,
    )
    # Whatever fails here is done again when the job begins.
    thread = BackgroundThread(name="prefetch", work=prefetcher.once, on_error=_debug("prefetch.failed"))
    return prefetcher, thread


def _prefetches(settings: Settings, info: WorkerInfo) -> bool:
    """Whether jobs are prepared early. On a CPU that would take from the present clip what it gives to the next."""
    if settings.ahead == "auto":
        return info.plan.get("device") == "cuda"
    return settings.ahead == "on"


def _debug(event: str) -> Callable[[Exception], None]:
    return lambda err: log.debug(event, error=f"{type(err).__name__}: {err}")
