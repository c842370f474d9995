"""Housekeeping in the Celery parent: beat, reap, pump, and the child's standing; decides when the lane is consumed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from reelmill_common import broker
from reelmill_common.config.setting_values import labels_of
from reelmill_common.errors import LedgerRefused, LedgerUnavailable, WorkerUnfit
from reelmill_common.ledger import Ledger, WorkerInfo, WorkerState
from reelmill_common.ledger.workers import Ended
from reelmill_common.services.notification_sender import Sender
from reelmill_common.services.pruner import Pruner
from reelmill_common.services.report_maker import ReportMaker
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings
from reelmill_common.worker_classes import lanes_of
from reelmill_worker.host.slots import machine_of
from reelmill_worker.ipc.child_status import ChildStatus, read
from reelmill_worker.ipc.progress import read as read_progress
from reelmill_worker.parent.fetch_watchdog import FetchWatch

log = structlog.get_logger(__name__)

LOOK_S = 0.1
"""Seconds between looks at the child: how late a death is noticed at most."""
STALLED_STATUS = LedgerUnavailable.exit_status
"""Exit status of a parent that fetched no messages although some waited: 75, try again. The supervisor does."""
CHILDLESS_S = 5.0
"""Seconds that a parent may be without a child. Its pool has the next one within milliseconds."""
EARLY_DEATHS = 3
"""Children that may die while they load before the worker counts as unfit: a crash there repeats for ever."""


@dataclass(slots=True, kw_only=True)
class Housekeeping:
    """One daemon thread of the parent. Nothing here touches the event loop, which only reads `consuming` and `unfit`.

    The worker's record in the ledger is written here and nowhere else: registered when a child is new (which takes
    back what the last one had leased), ready or quarantined by the child's notice, draining, retired.

    Attributes:
        child_pid: Returns the pool's present child, or None while there is none.
        consuming: Whether the queues of `lanes` may be consumed: the ledger has this very child as ready.
        lanes: Those of its classes and its profile's: before the child has told its classes only those of its labels.
        unfit: Why the worker has to stop for good; empty while it need not.
        progress: File in which the child says how far it is.
        idle: Whether the parent has no message in hand.
        resubscribe: Set for the event loop to subscribe to the queue anew, which clears it.
        restart: The event loop is to end the parent with `STALLED_STATUS`.
    """

    settings: Settings
    app: Celery
    worker: str
    lane: str
    notices: Path
    child_pid: Callable[[], int | None]
    progress: Path | None = None
    idle: Callable[[], bool] = lambda: False
    consuming: bool = False
    resubscribe: bool = False
    restart: bool = False
    unfit: str = ""
    lanes: Sequence[str] = ()
    _machine: str = ""
    _ledger: Ledger | None = None
    _pid: int | None = None
    _registered: bool = False
    _said: ChildStatus | None = None
    _heeded: ChildStatus | None = None
    _childless_since: float | None = None
    _early_deaths: int = 0
    _ended: Ended = ""
    _suspended: str = ""
    _fetching: FetchWatch = field(default_factory=FetchWatch)
    _draining: bool = False
    _drain_told: bool = False
    _next_round: float = 0.0
    _troubles: set[str] = field(default_factory=set[str])
    _resting: bool = False
    _paused: bool = False
    _ticker: Ticker = field(init=False)
    _sender: Sender = field(init=False)
    _reports: ReportMaker = field(init=False)
    _pruner: Pruner = field(init=False)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.lanes = self.lanes or lanes_of(self.lane, labels_of(self.settings.worker_labels))
        self._machine = machine_of(self.settings.state_dir)
        self._ticker = Ticker(worker=self.worker, window=self.settings.worker_window)
        self._sender = Sender(settings=self.settings)
        self._reports = ReportMaker(settings=self.settings)
        self._pruner = Pruner(settings=self.settings)
        self._resting = bool(self.settings.worker_window)  # until the ledger has said otherwise

    @property
    def standing(self) -> WorkerState:
        """Where the worker stands, as far as the parent knows."""
        if self.unfit or self._suspended:
            return WorkerState.QUARANTINED
        if self._draining:
            return WorkerState.DRAINING
        if self._paused:
            return WorkerState.PAUSED
        if self._resting:
            return WorkerState.RESTING
        return WorkerState.READY if self.consuming else WorkerState.STARTING

    @property
    def child_info(self) -> Mapping[str, Any]:
        """What the present child says of itself; empty while it has said nothing."""
        return self._said.info if self._said is not None else {}

    def start(self) -> None:
        """Begin, once; a later call does nothing (Celery starts its steps again after a lost connection)."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_going, name="tick", daemon=True)
            self._thread.start()
            self._sender.start()
            self._reports.start()
            self._pruner.start()

    def drain(self) -> None:
        """Take no more jobs. Safe in a signal handler: the thread tells the ledger."""
        self._draining = True

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread and leave the ledger in order. The child is gone when this is called."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        self._sender.stop()
        self._reports.stop()
        self._pruner.stop()
        self.notices.unlink(missing_ok=True)
        if self.progress is not None:
            self.progress.unlink(missing_ok=True)
        if self._ledger is None or self.unfit:
            return  # a quarantine stays on record until somebody has looked
        try:
            self._ledger.workers.retire(self.worker)
        except (LedgerUnavailable, LedgerRefused) as err:  # its leases run out instead
            log.warning("worker.retire_failed", error=str(err))

    def look(self) -> None:
        """Follow the child: new, ready, unfit or dead."""
        pid = self.child_pid()
        self._watch_pool(there=pid is not None)
        if pid is not None and pid != self._pid:
            self._meet(pid)
        self._said = read(self.notices, pid=self._pid) or self._said
        ledger = self._connected()
        if self._pid is not None and not self._registered:
            ledger.workers.register(self.worker, self.lane, self._info({}), ended=self._ended, lanes=self.lanes)
            self._registered, self._heeded, self._ended = True, None, ""
        if self._registered and self._said is not None and self._said != self._heeded:
            self._heed(ledger, self._said)
            self._heeded = self._said
        self._watch_progress(ledger)

    def round(self) -> None:
        """Beat, reap and pump once."""
        ledger = self._connected()
        if self._draining and not self._drain_told:
            ledger.workers.drain(self.worker)
            self._drain_told = True
        seen = ledger.workers.beat(self.worker, forgive_after_s=self.settings.forgive_after_s)
        if seen is None or seen.state is WorkerState.DEAD:
            self.consuming = self._registered = False  # forgotten or given up meanwhile: enter again
        elif seen.state is WorkerState.QUARANTINED and seen.may_return:
            self._suspend(seen.reason)
        elif seen.state is WorkerState.QUARANTINED:
            self._give_up(seen.reason)
        elif self._suspended and not seen.jobs:
            self._return()
        self._paused = seen is not None and seen.state is WorkerState.PAUSED
        self._rest(self._ticker.round(ledger) or self._paused)
        ledger.dispatch.reap()
        ledger.dispatch.mend()
        for lane in self.lanes:
            broker.reconcile(ledger, self.settings, lane)
        self._watch_fetching(ledger)
        broker.pump(ledger, self.app, self.settings, self.lane)

    def _meet(self, pid: int) -> None:
        if self._pid is not None:
            last, self.consuming = self._said, False
            # One that waited for a server was ended by the pool for being slow: that says nothing about this worker.
            early = last is None or (last.verdict == "loading" and not last.info)
            self._early_deaths = self._early_deaths + 1 if early else 0
            log.error("child.lost", pid=self._pid, ready=bool(last and last.verdict == "ready"), successor=pid)
            self._ended = self._ended or "died"
        self._pid, self._registered, self._said = pid, False, None
        if self._early_deaths >= EARLY_DEATHS:
            reason = f"the process that loads the model died {self._early_deaths} times in a row while loading"
            self._connected().workers.quarantine(self.worker, reason)
            self._give_up(reason)

    def _heed(self, ledger: Ledger, notice: ChildStatus) -> None:
        if notice.verdict == "ready" and not self._draining:
            self.lanes = lanes_of(self.lane, notice.info.get("classes", ()))
            ledger.workers.ready(self.worker, self._info(notice.info), lanes=self.lanes)
            if not self.consuming:
                log.info("worker.ready", worker=self.worker, lane=self.lane, pid=notice.pid)
            self.consuming = not self._resting and not self._suspended
        elif notice.verdict == "loading" and notice.info:
            ledger.workers.register(self.worker, self.lane, self._info(notice.info), lanes=self.lanes)
        elif notice.verdict == "unfit":
            ledger.workers.quarantine(self.worker, notice.reason)
            self._give_up(notice.reason)

    def _info(self, told: Mapping[str, Any]) -> WorkerInfo:
        return WorkerInfo.of({"pid": self._pid, "machine": self._machine, **told})

    def _rest(self, resting: bool) -> None:  # noqa: FBT001 - the one thing that it is told
        if resting:
            self.consuming = False
        elif self._resting:
            self._heeded = None  # `look` heeds the child's notice again, and with it consumes
        self._resting = resting

    def _suspend(self, reason: str) -> None:
        """Take no jobs until the ledger forgives, by time or by hand; the parent stays to hear of it."""
        if not self._suspended:
            log.error(
                "worker.suspended", worker=self.worker, reason=reason, forgive_after_s=self.settings.forgive_after_s
            )
        self.consuming, self._suspended = False, reason

    def _return(self) -> None:
        """Try again with a new child: whatever is wrong with the old one, only a passed gate shows that it is over."""
        log.info("worker.forgiven", worker=self.worker)
        self._suspended = ""
        self._kill_child()

    def _watch_pool(self, *, there: bool) -> None:
        """End the parent when its pool stays empty: the pool replaces a dead child at once, and nobody else does."""
        if there or self._draining:
            self._childless_since = None
            return
        now = time.monotonic()
        self._childless_since = self._childless_since or now
        if self.restart or now - self._childless_since < CHILDLESS_S:
            return
        log.error("child.missing", worker=self.worker, action="restart")
        self.consuming, self.restart = False, True

    def _watch_progress(self, ledger: Ledger) -> None:
        if self.progress is None or self._pid is None or self._ended:
            return
        at = read_progress(self.progress, pid=self._pid)
        if at is None or not at.is_stuck(time.monotonic(), floor_s=self.settings.stall_floor_s):
            return
        seconds = round(time.monotonic() - at.since, 1)
        log.error("child.stalled", pid=self._pid, stage=at.stage, seconds=seconds, mean_s=round(at.mean_s, 3))
        self._ended = "stalled"
        self._kill_child()
        ledger.workers.stalled(self.worker, f"no progress at {at.stage} for {seconds:.0f} s", "kill")

    def _kill_child(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _watch_fetching(self, ledger: Ledger) -> None:
        able = self.consuming and not self._draining and self.idle()
        lists = [key for lane in self.lanes for key in broker.lists(self.settings, lane)]
        starving = able and ledger.dispatch.messages(lists) > 0
        remedy = self._fetching.look(starving=starving, now=time.monotonic())
        if not remedy:
            return
        log.error("worker.stalled", worker=self.worker, action=remedy)
        self.resubscribe, self.restart = remedy == "resubscribe", remedy != "resubscribe"
        ledger.workers.stalled(self.worker, "messages wait and it fetches none", remedy)
        if remedy == "abort":
            os._exit(STALLED_STATUS)  # the child dies with us, and the next parent takes its leases back

    def _give_up(self, reason: str) -> None:
        if not self.unfit:
            log.error("worker.quarantined", worker=self.worker, code=WorkerUnfit.code, reason=reason)
        self.consuming, self.unfit = False, reason

    def _connected(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger.connect(self.settings)
            forgets = self._ledger.forgets()
            if forgets:
                log.warning("redis.may_forget", reason=forgets)
        return self._ledger

    def _keep_going(self) -> None:
        while not self._stopping.wait(min(LOOK_S, self.settings.tick_s)):
            try:
                self.look()
                if time.monotonic() >= self._next_round:
                    self._next_round = time.monotonic() + self.settings.tick_s
                    self.round()
                    self._recover()
            except Exception as err:  # noqa: BLE001 - the tick must outlive whatever a broker or a server can do
                self._complain(err)

    def _complain(self, err: Exception) -> None:
        """Say so once for each kind of trouble until a whole round has succeeded, not once per tick."""
        known = isinstance(err, LedgerUnavailable | LedgerRefused | OperationalError)
        text = f"{type(err).__name__}: {err}"
        kind = type(err).__name__ if known else text  # what a server says differs from tick to tick
        if kind not in self._troubles:
            log.warning("tick.failed", error=text, exc_info=not known)
        self._troubles.add(kind)

    def _recover(self) -> None:
        if self._troubles:
            log.info("tick.recovered")
        self._troubles.clear()
