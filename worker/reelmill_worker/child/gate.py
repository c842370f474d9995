"""The start-up gate of a rendering child: load, self-test, canary, store; only then may the worker take jobs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
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
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.metrics.exporter import advertised_host
from reelmill_common.profiles import PROFILES
from reelmill_common.services.background import ErrorLog
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store
from reelmill_common.worker_classes import classes_of
from reelmill_worker.child.composition import Checked, compose
from reelmill_worker.child.job_runner import JobRunner
from reelmill_worker.child.renderer import Renderer, TestPicture, open_renderer
from reelmill_worker.delivery.clip_files import write_video
from reelmill_worker.delivery.marks import ClipMarker
from reelmill_worker.host.load_limit import load_permit, model_bytes
from reelmill_worker.ipc.child_files import ChildFiles
from reelmill_worker.ipc.child_status import ChildStatus, Verdict, write

log = structlog.get_logger(__name__)

T = TypeVar("T")

PATIENCE_S = 2.0
"""Seconds between tries while a server that we need at start does not answer."""


@dataclass(slots=True, kw_only=True)
class Gate:
    """The checks of one child, from its start to its job runner.

    Attributes:
        worker: Node name.
        profile: Model profile.
        app: The Celery application of this process, to publish what the ledger dispatches.
        parent_pid: Process id of the Celery parent, which reads the child's status.
    """

    settings: Settings
    worker: str
    profile: str
    app: Celery
    parent_pid: int

    def enter(self) -> JobRunner | None:
        """Pass every check and return the job runner, or report why not and return None.

        Never raises: Celery swallows what a `worker_process_init` handler raises and would then feed jobs to a
        process without a model.
        """
        started = time.monotonic()
        self.report("loading")
        try:
            runner, info = self._pass()
        except Exception as err:
            code = err.code if isinstance(err, ReelmillError) else "worker_bug"
            reason = f"{code}: {err}" if isinstance(err, ReelmillError) else f"{code}: {type(err).__name__}: {err}"
            known = isinstance(err, ReelmillError)
            log.error("gate.refused", code=code, error=str(err), exc_info=None if known else err)  # noqa: TRY400
            self.report("unfit", reason=reason)
            return None
        seconds = round(time.monotonic() - started, 3)
        runner.leases.counters.passed_gate(seconds)
        log.info("gate.passed", seconds=seconds, **info.record())
        return runner

    @property
    def files(self) -> ChildFiles:
        """Where this process reports to its parent."""
        return ChildFiles(state_dir=self.settings.state_dir, worker=self.worker, parent_pid=self.parent_pid)

    def report(self, verdict: Verdict, *, reason: str = "", info: WorkerInfo | None = None) -> None:
        """Report to the parent, and wait for room on the disk: a child that is not heard would never get a job."""
        errors = ErrorLog()
        while not self._write(verdict, reason, info or WorkerInfo(), errors):
            time.sleep(PATIENCE_S)

    def report_facts(self, info: WorkerInfo) -> None:
        """Report new facts about a ready child, if that is possible now."""
        self._write("ready", "", info, ErrorLog())

    def _write(self, verdict: Verdict, reason: str, info: WorkerInfo, errors: ErrorLog) -> bool:
        status = ChildStatus(pid=os.getpid(), verdict=verdict, reason=reason, info=info)
        try:
            write(self.files.status, status)
        except OSError as err:
            if errors.is_new(str(err)):
                log.error("status.not_written", error=str(err))  # noqa: TRY400 - a full disk is not a bug
            return False
        return True

    def _pass(self) -> tuple[JobRunner, WorkerInfo]:
        settings = self.settings
        with self._load_permit():
            renderer = open_renderer(settings, self.profile)
        _canary(renderer)
        spool = _fresh_spool(settings.state_dir, self.worker)
        marker = ClipMarker.of(settings)
        unsigned = _try_delivery(settings, self.profile, spool, marker)
        store = open_store(settings)
        report = self._patiently(store.check, "store")
        ledger = self._patiently(lambda: Ledger.connect(settings, shared=True), "ledger")
        warning = self._mark(ledger, store)
        metrics = f"{advertised_host(settings.metrics_host)}:{settings.metrics_port}"
        info = replace(
            _with_gpu(WorkerInfo.of(renderer.describe())),
            host=os.uname().nodename,
            store=report.url,
            store_once=report.conditional_put,
            trouble="; ".join(filter(None, (f"farm: {warning}" if warning else "", unsigned))),
            metrics=metrics if settings.metrics_port else "",
        )
        info = replace(info, classes=classes_of(info.record(), labels_of(settings.worker_labels)))
        checked = Checked(
            settings=settings,
            worker=self.worker,
            profile=self.profile,
            files=self.files,
            renderer=renderer,
            store=store,
            ledger=ledger,
            spool=spool,
            marker=marker,
            info=info,
        )
        runner = compose(
            checked,
            pump=lambda: broker.pump(ledger, self.app, settings, self.profile),
            report=self.report_facts,
            end_process=end_process,
        )
        self.report("ready", info=info)
        return runner, info

    def _mark(self, ledger: Ledger, store: ClipStore) -> str:
        """Mark the store as this farm's; return a warning if it is another's already."""
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

    def _load_permit(self) -> AbstractContextManager[None]:
        settings = self.settings
        need = model_bytes(settings.model_folder(self.profile)) if settings.renderer == "model" else 0
        text = "waits to load its model: other workers of this host load theirs"
        return load_permit(
            settings.state_dir / "run", need, on_wait=lambda: self.report("loading", info=WorkerInfo(trouble=text))
        )

    def _patiently(self, call: Callable[[], T], what: str) -> T:
        """Wait for a server that is down at start; one that refuses us is a reason to be unfit."""
        errors = ErrorLog()
        while True:
            try:
                return call()
            except (LedgerUnavailable, LedgerReadOnly, StoreUnavailable) as err:
                if errors.is_new(str(err)):
                    self.report("loading", info=WorkerInfo(trouble=f"{what}: {err}"))
                    log.warning("gate.waited", server=what, error=str(err))
                time.sleep(PATIENCE_S)


def _canary(renderer: Renderer) -> None:
    try:
        renderer.canary()
    except ReelmillError as err:
        raise WorkerUnfit(f"the canary render failed ({err.code}): {err}") from err


def _try_delivery(settings: Settings, profile: str, spool: Path, marker: ClipMarker) -> str:
    """Mux and sign a test card; return why it cannot be signed, if it need not be.

    A codec that this host lacks, or a key that fits no certificate, would otherwise fail every clip after its render.
    """
    spec = RenderSpec(prompt="a test card", profile=profile, frames=PROFILES[profile].lengths[0])
    trial = spool / "trial.mp4"
    write_video(TestPicture(spec).planes, trial, fps=spec.fps, recipe={}, settings=settings)
    try:
        unsigned = marker.problem(trial)
    finally:
        trial.unlink()
    if unsigned:
        log.warning("gate.unsigned", error=unsigned)
    return unsigned


def _with_gpu(info: WorkerInfo) -> WorkerInfo:
    """Add which GPU it is, by the UUID that the driver's sensors know; torch is loaded if there is a model."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return info
    major, minor = torch.cuda.get_device_capability(0)
    return replace(info, gpu_uuid=f"GPU-{torch.cuda.get_device_properties(0).uuid}", gpu_arch=f"sm{major}{minor}")


def _fresh_spool(state_dir: Path, worker: str) -> Path:
    """Clear what a dead child left: its leases are taken back, so no attempt needs its files."""
    spool = state_dir / "spool" / worker
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True, mode=0o700)  # clips may be private to their owners
    return spool


def end_process(reason: str) -> None:
    """End this child in order: it finishes its deliveries, and the parent starts another that loads the model."""
    log.error("child.ended", reason=reason)
    raise SystemExit(1)
