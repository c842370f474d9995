"""The start-up gate of a rendering child: load, self-test, canary, store; only then may the worker take jobs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
from celery import Celery

from reelmill_common import broker
from reelmill_common.config.setting_values import labels_of
from reelmill_common.errors import (
    LedgerReadOnly,
    LedgerUnavailable,
    ReelmillError,
    StoreError,
    StoreUnavailable,
    WorkerUnfit,
)
from reelmill_common.farm_mark import leave_mark
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.metrics.exporter import advertised_host
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, StoreReport, open_store
from reelmill_common.worker_classes import classes_of, lanes_of
from reelmill_worker.attempt.attempt_logs import AttemptLogs
from reelmill_worker.attempt.lease import Leases
from reelmill_worker.child.job_runner import DispatchThread, JobRunner
from reelmill_worker.child.prefetch import Prefetcher
from reelmill_worker.child.renderer import Renderer, TestCard, open_renderer
from reelmill_worker.delivery.clip_files import ClipWriter, write_video
from reelmill_worker.delivery.delivery_queue import DeliveryQueue
from reelmill_worker.delivery.publisher import ClipPublisher
from reelmill_worker.host.gpu_sensors import GpuSensors
from reelmill_worker.host.load_limit import model_bytes, turn_to_load
from reelmill_worker.ipc.child_status import ChildStatus, Verdict, notice_path, post
from reelmill_worker.ipc.counters import Counters, figures_path
from reelmill_worker.ipc.progress import StagePace, progress_path

log = structlog.get_logger(__name__)

T = TypeVar("T")

PATIENCE_S = 2.0
"""Seconds between tries while a server that we need at start does not answer."""


@dataclass(slots=True, kw_only=True)
class Gate:
    """One child's way to its desk.

    Attributes:
        worker: Node name.
        app: The Celery application of this process, to publish what the ledger dispatches.
        parent_pid: Process id of the Celery parent, which reads our notices.
    """

    settings: Settings
    worker: str
    lane: str
    app: Celery
    parent_pid: int

    def enter(self) -> JobRunner | None:
        """Pass every check and return the desk, or post why not and return None.

        Never raises: Celery swallows what a `worker_process_init` handler raises and would then feed jobs to a
        process without a model.
        """
        started = time.monotonic()
        self.tell("loading")
        try:
            desk, info = self._pass()
        except Exception as err:
            code = err.code if isinstance(err, ReelmillError) else "worker_bug"
            reason = f"{code}: {err}" if isinstance(err, ReelmillError) else f"{code}: {type(err).__name__}: {err}"
            known = isinstance(err, ReelmillError)
            log.error("gate.refused", code=code, error=str(err), exc_info=None if known else err)  # noqa: TRY400
            self.tell("unfit", reason=reason)
            return None
        seconds = round(time.monotonic() - started, 3)
        desk.leases.tally.passed_gate(seconds)
        log.info("gate.passed", seconds=seconds, **info)
        return desk

    def tell(self, verdict: Verdict, *, reason: str = "", info: dict[str, Any] | None = None) -> None:
        """Post a notice for the parent, waiting for room on the disk: unheard, this child would never get a job."""
        complained = False
        while not self._post(verdict, reason, info or {}, quiet=complained):
            complained = True
            time.sleep(PATIENCE_S)

    def mention(self, info: dict[str, Any]) -> None:
        """Post what a ready child has to say of itself, if that is possible now."""
        self._post("ready", "", info)

    def _post(self, verdict: Verdict, reason: str, info: dict[str, Any], *, quiet: bool = False) -> bool:
        notice = ChildStatus(pid=os.getpid(), verdict=verdict, reason=reason, info=info)
        try:
            post(notice_path(self.settings.state_dir, self.worker, self.parent_pid), notice)
        except OSError as err:
            if not quiet:
                log.error("notice.not_posted", error=str(err))  # noqa: TRY400 - a full disk is no bug
            return False
        return True

    def _pass(self) -> tuple[JobRunner, dict[str, Any]]:
        settings = self.settings
        with self._turn_to_load():
            renderer = open_renderer(settings, self.lane)
        _canary(renderer)
        spool = _fresh_spool(settings.state_dir, self.worker)
        _try_encoder(settings, self.lane, spool)
        store = open_store(settings)
        report = self._patiently(store.check, "store")
        ledger = self._patiently(lambda: Ledger.connect(settings), "ledger")
        info = {"host": os.uname().nodename, **renderer.describe(), **_facts(report), **_gpu()}
        info["classes"] = classes_of(info, labels_of(settings.worker_labels))
        if warning := self._mark(ledger, store):
            info["trouble"] = f"farm: {warning}"
        if settings.metrics_port:
            info["metrics"] = f"{advertised_host(settings.metrics_host)}:{settings.metrics_port}"
        desk = self._desk(renderer, store, ledger, spool, info)
        self.tell("ready", info=info)
        return desk, info

    def _mark(self, ledger: Ledger, store: ClipStore) -> str:
        """Mark the store as our farm's; return what to say if it is another's already."""
        try:
            mark = leave_mark(ledger, store, self.settings.farm)
        except StoreError as err:
            log.warning("store.not_marked", error=str(err))
            return ""
        if mark is None:
            return ""
        warning = mark.warning(self.settings.farm)
        log.error("store.of_another_farm", error=warning)
        return warning

    def _turn_to_load(self) -> AbstractContextManager[None]:
        settings = self.settings
        need = model_bytes(settings.model_folder(self.lane)) if settings.renderer == "model" else 0
        trouble = "waits for its turn to load: other workers of this host load their models"
        return turn_to_load(
            settings.state_dir / "run", need, on_wait=lambda: self.tell("loading", info={"trouble": trouble})
        )

    def _patiently(self, call: Callable[[], T], what: str) -> T:
        """Wait for a server that is down at start; one that refuses us is a reason to be unfit."""
        complained = ""
        while True:
            try:
                return call()
            except (LedgerUnavailable, LedgerReadOnly, StoreUnavailable) as err:
                if str(err) != complained:
                    self.tell("loading", info={"trouble": f"{what}: {err}"})
                    log.warning("gate.waited", server=what, error=str(err))
                complained = str(err)
                time.sleep(PATIENCE_S)

    def _desk(
        self, renderer: Renderer, store: ClipStore, ledger: Ledger, spool: Path, info: dict[str, Any]
    ) -> JobRunner:
        settings = self.settings
        tally = Counters(figures_path(settings.state_dir, self.worker, self.parent_pid))
        leases = Leases(ledger=ledger, lease_s=settings.lease_s, tally=tally, logs=AttemptLogs.of(settings, store))
        refill = DispatchThread(pump=lambda: broker.pump(ledger, self.app, settings, self.lane))
        courier = ClipPublisher(
            store=store,
            leases=leases,
            packer=ClipWriter(settings=settings, renderer=renderer.describe(), worker=self.worker, spool=spool),
            on_end=refill.ask,
        )
        deliveries = DeliveryQueue(
            courier=courier,
            limit=settings.max_deliveries,
            spool_bytes=settings.spool_mb * 1_000_000,
            on_trouble=lambda text: self.mention(info | ({"trouble": text} if text else {})),
        )
        ahead = Prefetcher(
            worker=self.worker,
            shared=settings.embedding_cache != "off",
            upcoming=lambda: ledger.dispatch.upcoming(*lanes_of(self.lane, info["classes"])),
            prepare=renderer.prepare,
        )
        for part in (leases, refill, deliveries, *([ahead] if _prepares(settings, info) else ())):
            part.start()
        tally.start(deliveries.load)
        leases.logs.start()
        return JobRunner(
            worker=self.worker,
            lease_s=settings.lease_s,
            ledger=ledger,
            renderer=renderer,
            leases=leases,
            deliveries=deliveries,
            refill=refill.ask,
            ahead=ahead.ask,
            last_words=end_process,
            joules=GpuSensors(info.get("gpu_uuid", "")).joules,
            pace=StagePace(path=progress_path(settings.state_dir, self.worker, self.parent_pid)),
        )


def _prepares(settings: Settings, info: Mapping[str, Any]) -> bool:
    """Whether to prepare jobs ahead. On a CPU it would take from the clip what it gives to the next."""
    if settings.ahead == "auto":
        return bool(info.get("plan")) and info["plan"]["device"] == "cuda"
    return settings.ahead == "on"


def _canary(renderer: Renderer) -> None:
    try:
        renderer.canary()
    except ReelmillError as err:
        raise WorkerUnfit(f"the canary render failed ({err.code}): {err}") from err


def _try_encoder(settings: Settings, lane: str, spool: Path) -> None:
    """Mux a test card: a codec that this host lacks would otherwise fail every clip after it was rendered."""
    spec = RenderSpec(prompt="a test card", profile=lane, frames=PROFILES[lane].lengths[0])
    trial = spool / "trial.mp4"
    write_video(TestCard(spec).planes, trial, fps=spec.fps, recipe={}, settings=settings)
    trial.unlink()


def _facts(report: StoreReport) -> dict[str, Any]:
    return {"store": report.url, "store_once": report.conditional_put}


def _gpu() -> dict[str, str]:
    """Say which card it is, by the name that the driver's sensors know it by; torch is loaded if there is a model."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    major, minor = torch.cuda.get_device_capability(0)
    return {"gpu_uuid": f"GPU-{torch.cuda.get_device_properties(0).uuid}", "gpu_arch": f"sm{major}{minor}"}


def _fresh_spool(state_dir: Path, worker: str) -> Path:
    """Clear what a dead child left: its leases are taken back, so its files are nobody's."""
    spool = state_dir / "spool" / worker
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True, mode=0o700)  # clips may be what only their owners shall see
    return spool


def end_process(reason: str) -> None:
    """End this child in order: it finishes its deliveries, and the parent starts another that loads the model anew."""
    log.error("child.ended", reason=reason)
    raise SystemExit(1)
