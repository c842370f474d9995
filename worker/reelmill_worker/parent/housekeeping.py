"""Housekeeping in the Celery parent: beat, reap, pump, and the child's status; decides when lanes are consumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from reelmill_common import broker
from reelmill_common.config.setting_values import labels_of
from reelmill_common.errors import LedgerRefused, LedgerUnavailable, WorkerUnfit
from reelmill_common.ledger import Ledger, WorkerInfo, WorkerState, base
from reelmill_common.ledger.workers import Ended, Standing
from reelmill_common.services.background import BackgroundThread, ErrorLog
from reelmill_common.services.notification_sender import Sender
from reelmill_common.services.pruner import Pruner
from reelmill_common.services.record_keeper import RecordKeeper
from reelmill_common.services.report_maker import ReportMaker
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings
from reelmill_common.worker_classes import lanes_of
from reelmill_worker.host.slots import machine_of
from reelmill_worker.ipc.child_status import ChildStatus, read
from reelmill_worker.ipc.progress import read as read_progress
from reelmill_worker.parent.departure import Departure
from reelmill_worker.parent.fetch_watchdog import FetchWatch
from reelmill_worker.parent.worker_phase import PhaseEvent, PhaseMachine, WorkerPhase

log = structlog.get_logger(__name__)

LOOK_S = 0.1
"""Seconds between looks at the child: the longest time until its death is noticed."""
STALLED_STATUS = LedgerUnavailable.exit_status
"""Exit status of a parent that fetched no messages although some waited: 75, try again, which the supervisor does."""
CHILDLESS_S = 5.0
"""Longest that a parent may be without a child. Its pool has the next one within milliseconds."""
TURN_SHARE = 0.8
"""Share of a tick after which what one parent of the farm does at each tick may be done again: a lone parent, whose
ticks are never exactly as long as they should be, does it at each."""
WORKERS_A_TICK = 8
LIVE_SHARE = 0.3
"""A parent makes a round at each tick while the farm has at most so many workers, then less often, down to this share
of the time after which a worker counts as dead."""
EARLY_DEATHS = 3
"""Children that may die while they load before the worker counts as unfit: such a crash repeats for ever."""


@dataclass(slots=True, kw_only=True)
class Housekeeping:
    """One daemon thread of the parent. Nothing here touches the event loop, which only reads what is public.

    The worker's record in the ledger is written here and nowhere else: registered when a child is new (which takes
    back what the last one had leased), ready or quarantined as the child's status says, draining, retired.

    Attributes:
        profile: The worker's model profile.
        status_file: Where the child writes its status.
        child_pid: Returns the pool's present child, or None while there is none.
        progress: File in which the child says how far it is.
        idle: Whether the parent has no message in hand.
        resubscribe: Set for the event loop to subscribe to the queues again, which clears it.
        unfit: Why the worker has to stop for good; empty while it need not.
        lanes: Lanes of its profile and its classes; only those of its labels until the child has reported its classes.
        round_s: Seconds from one round to the next: on a large farm others do what one parent has to do.
    """

    settings: Settings
    app: Celery
    worker: str
    profile: str
    status_file: Path
    child_pid: Callable[[], int | None]
    progress: Path | None = None
    idle: Callable[[], bool] = lambda: False
    resubscribe: bool = False
    unfit: str = ""
    lanes: Sequence[str] = ()
    round_s: float = 0.0
    _host: str = ""
    _ledger: Ledger | None = None
    _pid: int | None = None
    _registered: bool = False
    _status: ChildStatus | None = None
    _recorded: ChildStatus | None = None
    _childless_since: float | None = None
    _early_deaths: int = 0
    _ended: Ended = ""
    _fetching: FetchWatch = field(default_factory=FetchWatch)
    _next_round: float = 0.0
    _errors: ErrorLog = field(default_factory=ErrorLog)
    _machine: PhaseMachine = field(init=False)
    _departure: Departure = field(init=False)
    _ticker: Ticker = field(init=False)
    _sender: Sender = field(init=False)
    _reports: ReportMaker = field(init=False)
    _services: Sequence[Sender | ReportMaker | Pruner | RecordKeeper] = ()
    _thread: BackgroundThread = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.lanes = self.lanes or lanes_of(self.profile, labels_of(settings.worker_labels))
        self._host = machine_of(settings.state_dir)
        # With a window it rests until the ledger has said otherwise.
        self._machine = PhaseMachine(WorkerPhase.RESTING if settings.worker_window else WorkerPhase.STARTING)
        self._departure = Departure(
            worker=self.worker,
            drain_s=settings.drain_s,
            connect=self._connected,
            interrupt_child=lambda: self._signal_child(signal.SIGUSR1),
        )
        self._ticker = Ticker(worker=self.worker, window=settings.worker_window)
        self._sender = Sender(settings=settings, stand_by_s=60.0, shared=True)
        self._reports = ReportMaker(settings=settings, connect=lambda _: self._connected())
        self._services = (
            self._sender,
            self._reports,
            Pruner(settings=settings, connect=lambda _: self._connected()),
            RecordKeeper(settings=settings, connect=lambda _: self._connected()),
        )
        self._thread = BackgroundThread(
            name="tick", work=self._tick, every_s=min(LOOK_S, settings.tick_s), on_error=self._log_once
        )

    @property
    def consuming(self) -> bool:
        """Whether the queues of `lanes` may be consumed: the ledger has this very child as ready."""
        return self._machine.phase is WorkerPhase.READY

    @property
    def restart(self) -> bool:
        """Whether the event loop is to end the parent with `STALLED_STATUS`."""
        return self._machine.phase is WorkerPhase.RESTARTING

    @property
    def state(self) -> WorkerState:
        """The worker's state as far as the parent knows."""
        return self._machine.phase.state

    @property
    def child_info(self) -> WorkerInfo:
        """What the present child reports about itself; empty while it has reported nothing."""
        return self._status.info if self._status is not None else WorkerInfo()

    def start(self) -> None:
        """Begin, once; a later call does nothing (Celery starts its steps again after a lost connection)."""
        self._thread.start()
        for service in self._services:
            service.start()

    def drain(self) -> None:
        """Take no more jobs. Safe in a signal handler: the next tick records it in the ledger."""
        self._departure.begin()
        self._machine.on(PhaseEvent.DRAIN)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread and leave the ledger in order. The child is gone when this is called."""
        self._thread.close(timeout_s)
        for service in self._services:
            service.stop()
        self.status_file.unlink(missing_ok=True)
        if self.progress is not None:
            self.progress.unlink(missing_ok=True)
        if self._ledger is None or self.unfit:
            return  # a quarantine stays on record until it is lifted by hand
        self._departure.retire()

    def look(self) -> None:
        """Follow the child: new, ready, unfit or dead. A worker that is to end leaves."""
        if self._machine.phase is WorkerPhase.DRAINING:
            self._departure.look(registered=self._registered)
        pid = self.child_pid()
        self._watch_pool(there=pid is not None)
        if pid is not None and pid != self._pid:
            self._meet(pid)
        self._status = read(self.status_file, pid=self._pid) or self._status
        ledger = self._connected()
        if self._pid is not None and not self._registered:
            ledger.workers.register(
                self.worker, self.profile, self._info(WorkerInfo()), ended=self._ended, lanes=self.lanes
            )
            self._registered, self._recorded, self._ended = True, None, ""
        if self._registered and self._status is not None and self._is_news(self._status):
            self._record(ledger, self._status)
            self._recorded = self._status
        self._watch_progress(ledger)

    def round(self) -> None:
        """Beat, reap and pump once."""
        ledger = self._connected()
        turn_s, forgive_after_s = TURN_SHARE * self.settings.tick_s, self.settings.forgive_after_s
        standing = ledger.workers.round(self.worker, turn_s=turn_s, forgive_after_s=forgive_after_s)
        self._follow(standing)
        others = standing.live if standing is not None else 0
        self.round_s = max(
            self.settings.tick_s, min(LIVE_SHARE * base.LIVE_S, self.settings.tick_s * others / WORKERS_A_TICK)
        )
        now = standing.now if standing is not None else ledger.timetable.now()
        is_resting = self._ticker.keep_hours(ledger, now)
        if standing is not None and standing.state is WorkerState.PAUSED:
            self._machine.on(PhaseEvent.PAUSE)
        else:
            self._machine.on(PhaseEvent.REST if is_resting else PhaseEvent.RELEASE)
        if standing is None or standing.for_farm:
            self._serve_farm(ledger, standing)
        elif self._ticker.is_submitting:
            self._ticker.round(ledger)
        self._watch_fetching(ledger, dispatched=standing is None or standing.dispatched > 0)
        if standing is None or standing.for_profile:
            broker.pump(ledger, self.app, self.settings, self.profile)

    def _follow(self, standing: Standing | None) -> None:
        """Do as the ledger says about the worker."""
        if standing is None:
            self._registered = False  # forgotten or given up meanwhile: register again
            self._machine.on(PhaseEvent.CHILD_GONE)
        elif standing.state is WorkerState.QUARANTINED and standing.may_return:
            self._suspend(standing.reason)
        elif standing.state is WorkerState.QUARANTINED:
            self._give_up(standing.reason)
        elif not standing.leases:
            self._return()

    def _serve_farm(self, ledger: Ledger, standing: Standing | None) -> None:
        """Do what one parent of the farm has to do now and then, whichever it is."""
        self._ticker.round(ledger)
        ledger.dispatch.recall()
        ledger.dispatch.reap(forget_after_s=self.settings.forget_after_s)
        ledger.dispatch.mend()
        broker.reconcile(ledger, self.settings)
        if standing is not None and standing.sender_missing:
            self._sender.wake()
        if standing is not None and standing.report_due:
            self._reports.wake()

    def _meet(self, pid: int) -> None:
        if self._pid is not None:
            last = self._status
            self._machine.on(PhaseEvent.CHILD_GONE)
            # One that waited for a server was ended by the pool for being slow: that says nothing about this worker.
            early = last is None or (last.verdict == "loading" and not last.info.trouble)
            self._early_deaths = self._early_deaths + 1 if early else 0
            log.error("child.lost", pid=self._pid, ready=bool(last and last.verdict == "ready"), successor=pid)
            self._ended = self._ended or "died"
        self._pid, self._registered, self._status = pid, False, None
        if self._early_deaths >= EARLY_DEATHS:
            reason = f"the process that loads the model died {self._early_deaths} times in a row while loading"
            self._connected().workers.quarantine(self.worker, reason)
            self._give_up(reason)

    def _is_news(self, status: ChildStatus) -> bool:
        """Whether a status has to be recorded: it has changed, or a worker that may work again has its child ready."""
        waits = self._machine.phase is WorkerPhase.STARTING
        return status != self._recorded or (waits and status.verdict == "ready")

    def _record(self, ledger: Ledger, status: ChildStatus) -> None:
        if status.verdict == "ready" and self._machine.phase is not WorkerPhase.DRAINING:
            self.lanes = lanes_of(self.profile, status.info.classes)
            ledger.workers.ready(self.worker, self._info(status.info), lanes=self.lanes)
            if not self.consuming:
                log.info("worker.ready", worker=self.worker, lane=self.profile, pid=status.pid)
            self._machine.on(PhaseEvent.CHILD_READY)
        elif status.verdict == "loading" and status.info.trouble:
            ledger.workers.register(self.worker, self.profile, self._info(status.info), lanes=self.lanes)
        elif status.verdict == "unfit":
            ledger.workers.quarantine(self.worker, status.reason)
            self._give_up(status.reason)

    def _info(self, reported: WorkerInfo) -> WorkerInfo:
        return replace(reported, pid=self._pid or 0, machine=self._host)

    def _suspend(self, reason: str) -> None:
        """Take no jobs until the ledger forgives, by time or by hand; the parent stays to hear of it."""
        if self._machine.on(PhaseEvent.SUSPEND):
            log.error(
                "worker.suspended", worker=self.worker, reason=reason, forgive_after_s=self.settings.forgive_after_s
            )

    def _return(self) -> None:
        """After a suspension try again with a new child: only a passed gate shows that what was wrong is over."""
        if self._machine.on(PhaseEvent.FORGIVE):
            log.info("worker.forgiven", worker=self.worker)
            self._signal_child(signal.SIGKILL)

    def _watch_pool(self, *, there: bool) -> None:
        """End the parent when its pool stays empty: only the pool replaces a dead child, and it does so at once."""
        if there or self._machine.phase is WorkerPhase.DRAINING:
            self._childless_since = None
            return
        now = time.monotonic()
        self._childless_since = self._childless_since or now
        if now - self._childless_since >= CHILDLESS_S and self._machine.on(PhaseEvent.RESTART):
            log.error("child.missing", worker=self.worker, action="restart")

    def _watch_progress(self, ledger: Ledger) -> None:
        if self.progress is None or self._pid is None or self._ended:
            return
        at = read_progress(self.progress, pid=self._pid)
        if at is None or not at.is_stuck(time.monotonic(), floor_s=self.settings.stall_floor_s):
            return
        seconds = round(time.monotonic() - at.since, 1)
        log.error("child.stalled", pid=self._pid, stage=at.stage, seconds=seconds, mean_s=round(at.mean_s, 3))
        self._ended = "stalled"
        self._signal_child(signal.SIGKILL)
        ledger.workers.stalled(self.worker, f"no progress at {at.stage} for {seconds:.0f} s", "kill")

    def _signal_child(self, number: signal.Signals) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _watch_fetching(self, ledger: Ledger, *, dispatched: bool) -> None:
        # One that is to restart is watched on: an event loop that hangs does not even hear of it.
        able = (self.consuming or (self.restart and self._childless_since is None)) and self.idle()
        now = time.monotonic()
        if able and dispatched and not self._fetching.is_due(now):
            return
        lists = [key for lane in self.lanes for key in broker.lists(self.settings, lane)]
        starving = able and dispatched and ledger.dispatch.messages(lists) > 0
        remedy = self._fetching.look(starving=starving, now=now)
        if not remedy:
            return
        log.error("worker.stalled", worker=self.worker, action=remedy)
        self.resubscribe = remedy == "resubscribe"
        if remedy != "resubscribe":
            self._machine.on(PhaseEvent.RESTART)
        ledger.workers.stalled(self.worker, "messages wait and it fetches none", remedy)
        if remedy == "abort":
            os._exit(STALLED_STATUS)  # the child dies with us, and the next parent takes its leases back

    def _give_up(self, reason: str) -> None:
        if self._machine.on(PhaseEvent.GIVE_UP):
            log.error("worker.quarantined", worker=self.worker, code=WorkerUnfit.code, reason=reason)
        self.unfit = reason

    def _connected(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger.connect(self.settings, shared=True)
            forgets = self._ledger.forgets()
            if forgets:
                log.warning("redis.may_forget", reason=forgets)
        return self._ledger

    def _tick(self) -> None:
        self.look()
        if time.monotonic() >= self._next_round:
            self._next_round = time.monotonic() + self.settings.tick_s
            self.round()
            self._next_round += self.round_s - self.settings.tick_s
            if self._errors.clear():
                log.info("tick.recovered")

    def _log_once(self, err: Exception) -> None:
        """Log each kind of error once until a whole round has succeeded, not once per tick."""
        known = isinstance(err, LedgerUnavailable | LedgerRefused | OperationalError)
        text = f"{type(err).__name__}: {err}"
        if self._errors.is_new(type(err).__name__ if known else text):  # a server's text differs from tick to tick
            log.warning("tick.failed", error=text, exc_info=not known)
