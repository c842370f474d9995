"""Workers: how they enter the ledger, report that they live, fall under quarantine and leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reelmill_common.calendar.timestamps import from_milliseconds
from reelmill_common.errors import NotFound, StillThere
from reelmill_common.ledger import base, views
from reelmill_common.ledger.base import LedgerPart, kept
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.records import WorkerState, WorkerView
from reelmill_common.ledger.retry_rules import RULES_JSON
from reelmill_common.ledger.server import Server
from reelmill_common.ledger.worker_info import WorkerInfo

Ended = Literal["", "died", "stalled"]
"""How a rendering process ended: by itself, or killed because it made no progress. Empty: unknown."""

PAGE = 100
"""Workers that one call reads: about 2 ms of the server's time."""
NAME_S = 60.0
"""Seconds that a name is kept for a machine whose worker has not registered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a worker stands at a tick of its parent, and what that parent has to do beside.

    Attributes:
        now: Redis' clock, in UTC.
        reason: Why it is quarantined; empty otherwise.
        may_return: Its quarantine is for failed jobs, so it may be lifted by time.
        leases: How many jobs are under its leases.
        live: How many workers of the farm beat.
        dispatched: How many jobs of the farm no worker has claimed yet.
        for_farm: Whether it is its turn to do what one parent of the farm has to do now.
        for_profile: Whether it is its turn to do what one parent of its profile has to do now.
        report_due: Whether a batch has ended that has no report yet; only known `for_farm`.
        sender_missing: Whether nobody sends to webhooks; likewise.
    """

    now: datetime
    state: WorkerState
    reason: str
    may_return: bool
    leases: int
    live: int
    dispatched: int
    for_farm: bool
    for_profile: bool
    report_due: bool
    sender_missing: bool


class WorkerRegistry(LedgerPart):
    """Keeps what workers report of themselves, and what people decide about them.

    A method of one worker raises `NotFound` if it is not registered.
    """

    def all(self) -> list[WorkerView]:
        """Return all workers, by name."""
        return read_workers(self._server, self._keys, live_s=base.LIVE_S)

    def register(
        self, worker: str, profile: str, info: WorkerInfo, *, ended: Ended = "", lanes: Sequence[str] = ()
    ) -> None:
        """Enter a worker as `starting`; jobs leased to an earlier life of the same name are taken back at once.

        A worker under quarantine stays so: `beat` returns it. `ended` is how the rendering process before this one
        ended, if there was one: a job that has killed two workers' processes is not tried a third time. `lanes` are
        all that it will serve, as far as it knows them.
        """
        known = ",".join(lanes)
        self._server.run("register", worker, profile, info.to_json(), self._max_attempts, RULES_JSON, ended, known)

    def ready(self, worker: str, info: WorkerInfo, *, lanes: Sequence[str] = ()) -> None:
        """Mark a worker `ready`: it counts for pump and may claim. Does not lift a quarantine, nor end a drain.

        Args:
            worker: Its name.
            info: What it reports about itself.
            lanes: All that it serves, its profile among them; none: those that are known already.
        """
        self._of_worker("ready", worker, info.to_json(), ",".join(lanes))

    def quarantine(self, worker: str, reason: str) -> None:
        """Mark a worker unfit: it may not claim until `forgive`, whatever it does."""
        self._of_worker("quarantine", worker, kept(reason))

    def forgive(self, worker: str) -> None:
        """Lift a quarantine; the worker must register again."""
        self._of_worker("forgive", worker)

    def pause(self, worker: str) -> None:
        """Let a worker take no more jobs until `resume`, also when it is started anew; it finishes what it has."""
        self._of_worker("pause_worker", worker)

    def resume(self, worker: str) -> None:
        """Undo `pause`."""
        self._of_worker("resume_worker", worker)

    def forget(self, worker: str) -> None:
        """Remove all that is known of a worker that is gone.

        Raises:
            NotFound: The worker is not registered.
            StillThere: It lives, or clips are under its leases; nothing was removed.
        """
        answer = self._server.run("forget_worker", worker, base.LIVE_S)
        if answer is None:
            raise NotFound(f"no worker {worker!r} is known; `reelmill status` lists those that are")
        if answer == "live":
            raise StillThere(f"worker {worker!r} lives; stop it first (SIGTERM), or `reelmill pause {worker}`")
        if answer == "busy":
            raise StillThere(f"clips are under leases of {worker!r}; forget it once these have run out")

    def drain(self, worker: str) -> None:
        """Mark a worker as taking no more jobs; it finishes what it has."""
        self._of_worker("drain", worker)

    def retire(self, worker: str) -> None:
        """Remove a worker that ended in order; whatever it still leased is given back without counting."""
        self._server.run("retire", worker)

    def beat(self, worker: str, *, forgive_after_s: float = 0.0) -> WorkerView | None:
        """Say that a worker's parent lives; return how the ledger sees it, or None if it is not registered.

        A quarantine for failed jobs that is older than `forgive_after_s` is lifted (0: never), as by `forgive`.
        """
        self._server.run("beat", worker, forgive_after_s)
        answers = self._server.run("workers", worker)
        return views.worker_view(answers[0], live_s=base.LIVE_S) if answers else None

    def round(self, worker: str, *, turn_s: float, forgive_after_s: float = 0.0) -> Standing | None:
        """Say at a tick that a worker's parent lives; return how it stands, and what its turn is, or None as `beat`.

        A beat that comes soon after the last is not written down. One parent of the farm gets the farm's turn each
        `turn_s` seconds, and one of each profile the profile's.
        """
        answer = self._server.run("round", worker, forgive_after_s, base.LIVE_S, turn_s)
        if answer is None:
            return None
        now, state, reason, may_return, leases, live, dispatched, *turns = answer
        for_farm, for_profile, report, sender = (bool(turn) for turn in turns)
        return Standing(
            now=from_milliseconds(now),
            state=WorkerState(state),
            reason=reason,
            may_return=may_return == "1",
            leases=leases,
            live=live,
            dispatched=dispatched,
            for_farm=for_farm,
            for_profile=for_profile,
            report_due=report,
            sender_missing=sender,
        )

    def take_name(self, worker: str, machine: str) -> bool:
        """Take a name for a machine before its worker registers; False if a live worker of another machine has it."""
        return bool(self._server.run("take_name", worker, machine, base.LIVE_S, NAME_S))

    def served(self) -> frozenset[str]:
        """Return every lane that a worker of this farm has ever served."""
        (lanes,) = self._server.read([("SMEMBERS", f"{self._keys.prefix}served")])
        return frozenset(lanes)

    def stalled(self, worker: str, what: str, action: str) -> None:
        """Put on record that a worker stopped fetching or making progress, and what was done about it."""
        self._server.run("stalled", worker, what, action)


def read_workers(server: Server, keys: Keys, *, live_s: float) -> list[WorkerView]:
    """Return all workers, by name, read in pages."""
    (names,) = server.read([("SMEMBERS", keys.workers)])
    ranked = sorted(names)
    pages = [ranked[start : start + PAGE] for start in range(0, len(ranked), PAGE)]
    answers = [answer for page in (server.run_many("workers", pages) if pages else ()) for answer in page]
    return [views.worker_view(answer, live_s=live_s) for answer in answers]
