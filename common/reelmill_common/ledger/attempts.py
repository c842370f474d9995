"""Attempts: claim, renew, finish or fail one try at a job, each only by the holder of its lease."""

from __future__ import annotations

from enum import IntEnum
from secrets import token_hex

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.metadata import from_json
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import base, views
from reelmill_common.ledger.base import LedgerPart, kept
from reelmill_common.ledger.records import NOTHING, Claimed, Orders, Refused, Result, Spent
from reelmill_common.ledger.retry_rules import RULES_JSON

WITHDRAWN_S = 3600
"""Seconds that an attempt has for taking a clip out of the store, however long it is frozen meanwhile."""


class Publication(IntEnum):
    """Whether a clip was published."""

    LOST = 0
    DONE = 1
    DONE_AND_MAKES_ROOM = 2
    """Published, and jobs that had to wait for that may be dispatched now: of a capped batch or owner, or of a batch
    that waited for this one."""


class Attempts(LedgerPart):
    """Claims a job, renews its lease, and ends the attempt: what a worker does with a job."""

    def claim(self, job_id: str, generation: int, worker: str, *, lease_s: float, word: str = "") -> Claimed | Refused:
        """Accept a message: count the attempt and grant a lease with a fencing token, or say why not.

        A job that an unfit worker asks for is queued again, since its message is used up. A job whose spec this
        version cannot read (a newer producer wrote it) fails at once, and the answer is `UNKNOWN`. A job that failed
        on this worker a minute ago or less is left to other workers, if there are any. `word` is part of the token, and
        ties repeated calls together: the same worker with the same word gets the same lease again, so an answer that
        was lost costs nothing.
        """
        # redis-py sends a command again when the connection broke, and the first may have arrived: the same word in
        # both makes them one claim.
        word = word or token_hex(8)
        answer = self._server.run("claim", job_id, generation, worker, lease_s, word, base.LIVE_S)
        if isinstance(answer, str):
            return Refused(answer)
        batch, row, token, spec, sent_ms, foreign, submitted_ms, steady_ms, metadata = answer
        try:
            spec = RenderSpec.from_json(spec)
            return Claimed(
                job_id=job_id,
                batch=batch,
                row=row,
                token=token,
                spec=spec,
                sent_s=sent_ms / 1000,
                submitted_s=submitted_ms / 1000,
                foreign=foreign,
                steady_s=steady_ms / 1000,
                metadata=from_json(metadata),
            )
        except InvalidJob as err:
            self.fail(job_id, token, err.code, f"{err}; is this worker older than the producer?", retryable=False)
            return Refused.UNKNOWN

    def renew(self, job_id: str, token: str, *, lease_s: float) -> Orders:
        """Extend a lease."""
        return Orders(self._server.run("renew", job_id, token, lease_s, ""))

    def stage(self, job_id: str, token: str, stage: str, *, lease_s: float) -> Orders:
        """Extend a lease and record what the job is doing now."""
        return Orders(self._server.run("renew", job_id, token, lease_s, stage))

    def finish(
        self, job_id: str, token: str, result: Result, *, index: bool = False, adopted: str | None = None
    ) -> Publication:
        """Publish: accepted once, and only from the holder of the lease. `LOST`, which is false: the attempt lost.

        A clip that is stored wins over a request to cancel. The same attempt may repeat the same result, since an
        answer can be lost on the way, and hears again that it is published. With `index` equal specs can be answered by
        it (`reuse`).
        A clip that another attempt stored is `adopted`, which is the word of that one's claim: `LOST` then may also
        mean that it takes its clip back.
        """
        cost = (result.size_bytes, *_cost(Spent(gpu_s=result.gpu_s, energy_j=result.energy_j)))
        text, flags = views.result_json(result), ("1" if index else "0", "" if adopted is None else f":{adopted}")
        return Publication(self._server.run("finish", job_id, token, result.key, text, *cost, *flags))

    def withdraw(self, job_id: str, key: str, word: str) -> bool:
        """Ask whether a clip may be taken out of the store; False if it is the job's clip.

        After a True no attempt publishes or adopts what the claim of that word stored there for `WITHDRAWN_S`. With an
        empty word no attempt adopts it, whichever claim stored it.
        """
        return bool(self._server.run("withdraw", job_id, key, word, WITHDRAWN_S))

    def fail(
        self, job_id: str, token: str, code: str, message: str, *, retryable: bool, spent: Spent = NOTHING
    ) -> JobState | None:
        """Report a failed attempt: queued again while attempts are left and it is retryable, else failed.

        `retry_rules.RULES` says how often a code is tried again, whether it counts, and when it suspects the worker.

        A job that was asked to stop becomes cancelled instead. What was `spent` is counted as wasted. Returns the new
        state, or None if the attempt had lost its lease (nothing is changed then).
        """
        flag = "1" if retryable else "0"
        args = (code, kept(message), flag, self._max_attempts, RULES_JSON, *_cost(spent))
        letter = self._server.run("fail", job_id, token, *args)
        return None if letter is None else views.STATES[letter]

    def cancelled(self, job_id: str, token: str, *, spent: Spent = NOTHING) -> bool:
        """Confirm that a running job has stopped because it was asked to; what it `spent` was wasted."""
        return bool(self._server.run("confirm_cancel", job_id, token, *_cost(spent)))

    def release(self, job_id: str, token: str) -> bool:
        """Give a job back unrendered without counting the attempt against it (drain, shutdown).

        A job that was asked to stop becomes cancelled.
        """
        return bool(self._server.run("release", job_id, token))


def _cost(spent: Spent) -> tuple[str, str]:
    """Return the cost as the functions get it: whole milliseconds, and whole millijoules or nothing."""
    energy = "" if spent.energy_j is None else str(round(spent.energy_j * 1000))
    return str(round(spent.gpu_s * 1000)), energy
