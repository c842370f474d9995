"""Leases of the attempts in hand: one thread keeps them alive, and the work looks at them where it can stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from reelmill_common.errors import AttemptLost, JobCancelled, LedgerReadOnly, LedgerRefused, LedgerUnavailable
from reelmill_common.jobs import Stage
from reelmill_common.ledger import Claimed, Ledger, Orders
from reelmill_common.services.background import BackgroundThread
from reelmill_worker.attempt.attempt_logs import AttemptLogs
from reelmill_worker.ipc.counters import Counters

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
REPORT_APART_S = 1.0
"""Least seconds between two reports of a render's stages. Each costs Redis half as much as a claim, and where a clip
takes a second no person can follow them; a cancel is noticed at the next report."""
RENEWALS_PER_LEASE = 3
"""A lease survives two lost renewals."""


@dataclass(slots=True, kw_only=True)
class Lease:
    """One attempt's right to a job, and the ledger's last answer about it.

    Attributes:
        extended_s: When the ledger was last asked to extend it and did, on the monotonic clock.
    """

    claimed: Claimed
    orders: Orders = Orders.CONTINUE
    extended_s: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Stop the attempt here if it is no longer wanted.

        Raises:
            JobCancelled: The job is to be cancelled.
            AttemptLost: The lease ran out and the job went to another attempt.
        """
        if self.orders is Orders.CANCEL:
            raise JobCancelled(f"job {self.claimed.job_id} was asked to stop")
        if self.orders is Orders.LOST:
            raise AttemptLost(f"attempt {self.claimed.attempt} at job {self.claimed.job_id} lost its lease")


@dataclass(slots=True, kw_only=True)
class Leases:
    """All leases of one process, renewed by a thread of its own after each third of their time.

    A ledger that does not answer, or is full, changes nothing: the work goes on, and a lease may still be renewed when
    the ledger answers again, unless the job was given to another attempt.

    Attributes:
        report_apart_s: Least seconds between two reports of a render's stages.
        counters: Counts the outcomes of the attempts.
        logs: Keeps their last log lines.
    """

    ledger: Ledger
    lease_s: float
    report_apart_s: float = REPORT_APART_S
    counters: Counters = field(default_factory=Counters)
    logs: AttemptLogs = field(default_factory=AttemptLogs)
    _held: dict[tuple[str, str], Lease] = field(default_factory=dict[tuple[str, str], Lease])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: BackgroundThread = field(init=False)
    _reachable: bool = True

    def __post_init__(self) -> None:
        self._thread = BackgroundThread(name="leases", work=self.renew_all, every_s=self.lease_s / RENEWALS_PER_LEASE)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; what is still held runs out by itself."""
        self._thread.close()

    def hold(self, claimed: Claimed) -> Lease:
        """Keep a claim's lease alive until it is dropped."""
        lease = Lease(claimed=claimed)
        self.logs.begin(claimed)
        with self._lock:
            self._held[claimed.job_id, claimed.token] = lease
        return lease

    def drop(self, lease: Lease) -> None:
        """Stop renewing a lease: the attempt is over."""
        with self._lock:
            self._held.pop((lease.claimed.job_id, lease.claimed.token), None)

    def report(self, lease: Lease, stage: str) -> None:
        """Report an attempt's next stage to the ledger, and stop here if it says so.

        Raises:
            JobCancelled, AttemptLost: As `Lease.check`.
        """
        lease.check()
        # A frozen Redis must not hold up the GPU at each stage: one time-out is enough, the thread finds its return.
        if self._reachable and self._is_news(lease, stage):
            self._ask(lease, stage)
        lease.check()

    def _is_news(self, lease: Lease, stage: str) -> bool:
        """Whether a stage has to be reported: of a quick clip not each, but always that the GPU is done with it."""
        return stage == Stage.MUX or time.monotonic() - lease.extended_s >= self.report_apart_s

    def insist(self, call: Callable[[], T]) -> T:
        """Repeat a call until the ledger answers it and takes writes.

        Raises:
            LedgerUnavailable, LedgerReadOnly: `stop` was called meanwhile.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except (LedgerUnavailable, LedgerReadOnly):  # a full server is waited for like a dead one
                if self._thread.closing.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def confirm(self, lease: Lease, *, within_s: float = 0.0) -> None:
        """Stop the attempt here unless the ledger confirms its lease, however long that answer takes.

        Args:
            lease: The attempt's.
            within_s: Age of an earlier answer that is good enough.

        Raises:
            JobCancelled, AttemptLost: As `Lease.check`.
            LedgerUnavailable, LedgerReadOnly: `stop` was called meanwhile.
        """
        lease.check()
        if time.monotonic() - lease.extended_s < within_s:
            return
        claimed = lease.claimed
        lease.orders = self.insist(
            lambda: self.ledger.attempts.renew(claimed.job_id, claimed.token, lease_s=self.lease_s)
        )
        lease.check()

    def renew(self, lease: Lease) -> None:
        """Renew one lease now and remember the answer."""
        self._ask(lease, "")

    def renew_all(self) -> None:
        """Renew every lease once and remember the answers."""
        with self._lock:
            held = list(self._held.values())
        for lease in held:
            try:
                self._ask(lease, "")
            except Exception:  # the thread's boundary: the other leases must not run out because of one
                log.exception("lease.not_renewed", job_id=lease.claimed.job_id)
            if not self._reachable:
                return  # each further lease would wait for its own time-out

    def _ask(self, lease: Lease, stage: str) -> None:
        job_id, token, asked_s = lease.claimed.job_id, lease.claimed.token, time.monotonic()
        try:
            if stage:
                orders = self.ledger.attempts.stage(job_id, token, stage, lease_s=self.lease_s)
            else:
                orders = self.ledger.attempts.renew(job_id, token, lease_s=self.lease_s)
        except (LedgerUnavailable, LedgerRefused) as err:
            if self._reachable:
                log.warning("ledger.lost", error=str(err))
            self._reachable = False
            return
        if not self._reachable:
            log.info("ledger.returned")
        self._reachable = True
        lease.extended_s = asked_s
        if orders is not Orders.CONTINUE:
            lease.orders = orders
