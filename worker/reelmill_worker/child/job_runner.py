"""The one task: claim a job, render it, hand the frames over, and report; nothing is decided by the message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from structlog.contextvars import bound_contextvars

from reelmill_common.errors import JobCancelled, OutOfMemory, ReelmillError, RenderTimedOut
from reelmill_common.jobs import Stage, denoise_stage
from reelmill_common.ledger import Claimed, Ledger, Orders, Refused
from reelmill_common.prices import gpu_seconds
from reelmill_worker.attempt.failure import end_attempt
from reelmill_worker.attempt.gpu_meter import Meter
from reelmill_worker.attempt.lease import Lease, Leases
from reelmill_worker.child.renderer import Renderer
from reelmill_worker.delivery.clip_files import PendingClip, Rendering
from reelmill_worker.delivery.delivery_queue import DeliveryQueue
from reelmill_worker.ipc.counters import Cause
from reelmill_worker.ipc.progress import StagePace

log = structlog.get_logger(__name__)

FIRST_STEP = denoise_stage(0)
"""From here on the GPU is busy for a second, and the process that feeds it is not."""
ROOM_WAIT_S = 45.0
"""Longest wait for room on the delivery threads with a message in hand: below the 60 s after which the ledger takes
an unclaimed job for lost and sends it to somebody else."""


@dataclass(slots=True, kw_only=True)
class JobRunner:
    """What a rendering process works with, from the start-up gate to its end.

    Attributes:
        refill: Called when a claim has made room in the broker, once the GPU is busy; or when the attempt has failed.
        ahead: Called when the GPU is busy for a while: the next jobs may be prepared.
        joules: Returns what the card has drawn so far, or None.
        pace: Told where a render is, for the parent that watches.
        last_words: Called with the reason when the renderer is found broken: ends the process, and with it the model.
    """

    worker: str
    lease_s: float
    ledger: Ledger
    renderer: Renderer
    leases: Leases
    deliveries: DeliveryQueue
    refill: Callable[[], None]
    ahead: Callable[[], None]
    last_words: Callable[[str], None]
    joules: Callable[[], float | None] = lambda: None
    pace: StagePace = field(default_factory=StagePace)
    _counter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="joules"))

    def run(self, job_id: str, generation: int) -> dict[str, Any]:
        """Do what a message hints at; return a few facts for Flower.

        A refused claim is normal: the message was stale, or the ledger has put the job back in line.
        """
        if not self._wait_for_room():
            return {"outcome": "no_room"}
        word = token_hex(8)  # one for all tries: if only the answer was lost, the next one gets the same lease
        claimed = self.leases.insist(
            lambda: self.ledger.attempts.claim(job_id, generation, self.worker, lease_s=self.lease_s, word=word)
        )
        if isinstance(claimed, Refused):
            log.debug("claim.refused", job_id=job_id, generation=generation, why=claimed)
            return {"outcome": f"refused: {claimed}"}
        with bound_contextvars(job_id=job_id, batch=claimed.batch, row=claimed.row, attempt=claimed.attempt):
            return self._attempt(claimed)

    def close(self, timeout_s: float) -> None:
        """Finish the deliveries under way, give back what cannot be stored in time, and let the leases go."""
        left = self.deliveries.close(timeout_s)
        self.leases.stop()
        self.leases.tally.stop()
        self.leases.logs.stop()
        self._counter.shutdown(wait=False)
        log.info("desk.closed", given_back=left)

    def _wait_for_room(self) -> bool:
        asked, was_up = time.monotonic(), self.deliveries.load().store_up
        found = self.deliveries.wait_for_room(ROOM_WAIT_S)
        cause: Cause = "delivery_full" if was_up and self.deliveries.load().store_up else "store_down"
        self.leases.tally.waited(cause, time.monotonic() - asked)
        return found

    def _attempt(self, claimed: Claimed) -> dict[str, Any]:
        lease = self.leases.hold(claimed)
        started, meter = time.monotonic(), Meter(lambda: self._counter.submit(self.joules))
        try:
            if self.deliveries.courier.adopt(lease):
                return {"outcome": "adopted", "attempt": claimed.attempt}
            rendering = self._render(lease)
            reading = meter.stop(gpu_s=gpu_seconds(rendering.seconds))
            self.deliveries.hand_over(PendingClip(lease=lease, rendering=rendering, spent=reading.spent))
            outcome = "rendered"
        except SoftTimeLimitExceeded:
            why = self._why_interrupted(lease, time.monotonic() - started)
            outcome = self._end(lease, why, meter)
        except ReelmillError as err:
            outcome = self._end(lease, err, meter)
            self._renew_after(outcome)
        except Exception as err:  # noqa: BLE001 - the task boundary: whatever a renderer can raise ends one attempt
            outcome = self._end(lease, err, meter)
            self._renew_after(outcome)
            self._try_canary()
        return {"outcome": outcome, "attempt": claimed.attempt, "seconds": round(time.monotonic() - started, 3)}

    def _render(self, lease: Lease) -> Rendering:
        tally, claimed = self.leases.tally, lease.claimed
        done = False
        tally.render_began(sent_s=claimed.sent_s)
        try:
            rendering = self.renderer.render(claimed.spec, lambda stage: self._enter(lease, stage))
            done = True
        finally:
            self.pace.leave(done=done)
            tally.render_ended()
        tally.took(rendering.seconds)
        plan = rendering.plan
        if plan is not None and plan.device == "cuda" and plan.text_encoder == "cpu":
            tally.encoded_on_cpu(rendering.seconds.get(Stage.ENCODE_TEXT, 0.0))
        return rendering

    def _enter(self, lease: Lease, stage: str) -> None:
        spec = lease.claimed.spec
        self.pace.enter((spec.width, spec.height, spec.frames, spec.sampler), stage)
        self.leases.report(lease, stage)
        if stage == FIRST_STEP:
            self.refill()
            self.ahead()

    def _end(self, lease: Lease, err: Exception, meter: Meter) -> str:
        outcome = end_attempt(self.leases, lease, err, spent=meter.stop().spent())
        self.refill()
        return outcome

    def _why_interrupted(self, lease: Lease, seconds: float) -> ReelmillError:
        """The same signal comes from the time limit and from whoever sends SIGUSR1 to the process."""
        self.leases.renew(lease)
        if lease.orders is Orders.CANCEL:
            return JobCancelled(f"job {lease.claimed.job_id} was interrupted because it was asked to stop")
        return RenderTimedOut(
            f"the render was interrupted after {seconds:.0f} s; raise REELMILL_CLIP_SOFT_LIMIT_S if it is that slow"
        )

    def _renew_after(self, outcome: str) -> None:
        """After a lack of memory go on in a clean process: what is left of it here is in pieces."""
        if outcome == OutOfMemory.code:
            self.last_words("the GPU had too little memory for a render")

    def _try_canary(self) -> None:
        """After an error that is nobody's: does the renderer still work? A broken GPU context would fail every job."""
        try:
            self.renderer.canary()
        except Exception as err:
            log.exception("renderer.broken")
            self.last_words(f"the canary failed after an error in a render: {err}")


@dataclass(slots=True, kw_only=True)
class DispatchThread:
    """Pumps beside the render, never in front of it: a thread that wakes when a claim has made room in the broker."""

    pump: Callable[[], object]
    _wanted: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to wait for wishes."""
        threading.Thread(target=self._work, name="refill", daemon=True).start()

    def ask(self) -> None:
        """Wish for a pump soon."""
        self._wanted.set()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self.pump()
            except Exception as err:  # noqa: BLE001 - the parent's tick pumps too; this one only is earlier
                log.debug("refill.failed", error=str(err))
