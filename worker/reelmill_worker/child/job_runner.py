"""The one task: claim a job, render it, hand the frames over, and report. The message decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from structlog.contextvars import bound_contextvars

from reelmill_common.errors import AttemptLost, JobCancelled, OutOfMemory, ReelmillError, RenderTimedOut
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
"""The stage from which the GPU is busy for about a second, while the process that feeds it is not."""
ROOM_WAIT_S = 45.0
"""Longest wait for room on the delivery threads with a message in hand: below the 60 s after which the ledger takes
an unclaimed job for lost and sends it again."""


@dataclass(slots=True, kw_only=True)
class JobRunner:
    """What a rendering process works with, from the start-up gate to its end.

    Attributes:
        dispatch: Called when a claim has made room in the broker, once the GPU is busy; or when the attempt has failed.
        prefetch: Called when the GPU is busy for a while: the next jobs may be prepared.
        joules: Returns the energy that the GPU has drawn so far, or None.
        pace: Records how far a render is, for the parent that watches.
        end_process: Called with the reason when the renderer is found broken: ends the process, and with it the model.
    """

    worker: str
    lease_s: float
    ledger: Ledger
    renderer: Renderer
    leases: Leases
    deliveries: DeliveryQueue
    dispatch: Callable[[], None]
    prefetch: Callable[[], None]
    end_process: Callable[[str], None]
    joules: Callable[[], float | None] = lambda: None
    pace: StagePace = field(default_factory=StagePace)
    _sensor_thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="joules")
    )

    def run(self, job_id: str, generation: int) -> dict[str, Any]:
        """Render the job that a message names; return a few facts for Flower.

        A refused claim is normal: the message was stale, or the ledger has queued the job again.
        """
        if not self._wait_for_room():
            return {"outcome": "no_room"}
        word = token_hex(8)  # one for all tries: if only the answer was lost, the next try gets the same lease
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
        self.leases.counters.stop()
        self.leases.logs.stop()
        self._sensor_thread.shutdown(wait=False)
        log.info("runner.closed", given_back=left)

    def _wait_for_room(self) -> bool:
        asked, was_up = time.monotonic(), self.deliveries.load().store_up
        found = self.deliveries.wait_for_room(ROOM_WAIT_S)
        cause: Cause = "delivery_full" if was_up and self.deliveries.load().store_up else "store_down"
        self.leases.counters.waited(cause, time.monotonic() - asked)
        return found

    def _attempt(self, claimed: Claimed) -> dict[str, Any]:
        lease = self.leases.hold(claimed)
        started, meter = time.monotonic(), Meter(lambda: self._sensor_thread.submit(self.joules))
        try:
            if self.deliveries.publisher.adopt(lease):
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
        counters, claimed = self.leases.counters, lease.claimed
        done = False
        counters.render_began(sent_s=claimed.sent_s)
        try:
            rendering = self.renderer.render(claimed.spec, lambda stage: self._enter(lease, stage))
            done = True
        finally:
            self.pace.leave(done=done)
            counters.render_ended()
        counters.took(rendering.seconds)
        plan = rendering.plan
        if plan is not None and plan.device == "cuda" and plan.text_encoder == "cpu":
            counters.encoded_on_cpu(rendering.seconds.get(Stage.ENCODE_TEXT, 0.0))
        return rendering

    def _enter(self, lease: Lease, stage: str) -> None:
        spec = lease.claimed.spec
        self.pace.enter((spec.width, spec.height, spec.frames, spec.sampler), stage)
        self.leases.report(lease, stage)
        if stage == FIRST_STEP:
            self.dispatch()
            self.prefetch()

    def _end(self, lease: Lease, err: Exception, meter: Meter) -> str:
        outcome = end_attempt(self.leases, lease, err, spent=meter.stop().spent())
        self.dispatch()
        return outcome

    def _why_interrupted(self, lease: Lease, seconds: float) -> ReelmillError:
        """Return the error of an interrupted render: the time limit's signal is also sent from outside (SIGUSR1)."""
        self.leases.renew(lease)
        if lease.orders is Orders.CANCEL:
            return JobCancelled(f"job {lease.claimed.job_id} was interrupted because it was asked to stop")
        if lease.orders is Orders.LOST:
            return AttemptLost(f"job {lease.claimed.job_id} was interrupted because it was given to another worker")
        return RenderTimedOut(
            f"the render was interrupted after {seconds:.0f} s; raise REELMILL_CLIP_SOFT_LIMIT_S if it is that slow"
        )

    def _renew_after(self, outcome: str) -> None:
        """After a lack of memory continue in a new process: the memory that is left here is fragmented."""
        if outcome == OutOfMemory.code:
            self.end_process("the GPU had too little memory for a render")

    def _try_canary(self) -> None:
        """After an unknown error check that the renderer still works: a broken GPU context would fail every job."""
        try:
            self.renderer.canary()
        except Exception as err:
            log.exception("renderer.broken")
            self.end_process(f"the canary failed after an error in a render: {err}")
