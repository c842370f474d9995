"""Callers: who makes a request, and which batches and jobs that person may see and steer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from reelmill_common.access import OPERATOR, Principal
from reelmill_common.errors import InvalidJob, NotAllowed, NotFound
from reelmill_common.jobs import job_id
from reelmill_common.ledger import BatchView, JobView
from reelmill_producer.client import Reelmill
from reelmill_producer.control import is_job_id
from reelmill_producer.web.authentication import checked_token, holder
from reelmill_producer.web.console import Console

CONFIRM_S = 10.0
"""Seconds that a delete waits for the worker to stop: it looks at each step, about one a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request. What they may not see is answered as if it were not there."""

    principal: Principal
    console: Console

    @property
    def farm(self) -> Reelmill:
        """The farm. Raises `LedgerUnavailable`; blocks, so only in a thread."""
        return self.console.connection.farm()

    def batch(self, name: str) -> BatchView:
        """Return a batch that they may see. Raises `NotFound`."""
        return self._seen(self.farm.batch(name))

    def seen_batches(self) -> list[BatchView]:
        """Return the batches that they may see, newest first."""
        return [view for view in self.farm.batches() if self.principal.may_see(view.owner)]

    def steered_batch(self, name: str) -> BatchView:
        """Return a batch that they may steer.

        Raises:
            NotFound: They may not see it either, or there is none.
            NotAllowed: They may only read it.
        """
        view = self.batch(name)
        self.require_steering(view.owner)
        return view

    def job(self, batch: str, row: str) -> JobView:
        """Return a job that they may see, by its place. Raises `NotFound`."""
        self.batch(batch)
        found = self.farm.ledger.jobs.find([row if is_job_id(row) else job_id(batch, row)])
        if not found or found[0].batch != batch:
            raise NotFound(f"batch {batch!r} has no row {row[:80]!r}; GET its jobs to see its rows")
        return found[0]

    def job_of_id(self, job_id: str) -> JobView:
        """Return a job that they may see, by its id. Raises `NotFound`."""
        missing = NotFound(f"no job {job_id[:80]}")
        found = self.farm.ledger.jobs.find([job_id]) if is_job_id(job_id) else []
        if not found:
            raise missing
        try:
            self.batch(found[0].batch)
        except NotFound:
            raise missing from None
        return found[0]

    def steered_job(self, batch: str, row: str) -> JobView:
        """Return a job that they may steer, by its place.

        Raises:
            NotFound: They may not see it either, or there is none.
            NotAllowed: They may only read it.
        """
        self.steered_batch(batch)
        return self.job(batch, row)

    def delete_job(self, batch: str, row: str) -> bool:
        """Cancel a job that they may steer and forget it; a clip that is stored stays in the store.

        Returns:
            Whether it is gone. Else its worker has not stopped within `CONFIRM_S`: the cancel stands.

        Raises:
            NotFound: They may not see it, or there is none.
            NotAllowed: They may only read it.
        """
        job = self.steered_job(batch, row)
        if not job.state.is_final:
            self.farm.cancel(job.job_id, timeout_s=CONFIRM_S)
        try:
            self.farm.ledger.retention.forget_job(job.job_id)
        except InvalidJob:  # its worker has not stopped yet
            return False
        return True

    def require_operator(self, what: str) -> None:
        """Raise `NotAllowed` unless they are an operator; `what` says what for, as in `steering workers`."""
        if not self.principal.is_operator:
            raise NotAllowed(f"{what} needs an operator; the token {self.principal.name!r} is a {self.principal.role}")

    def _seen(self, view: BatchView) -> BatchView:
        if not self.principal.may_see(view.owner):
            raise NotFound(f"no batch {view.name!r}; GET /api/v1/batches lists those that there are")
        return view

    def require_steering(self, owner: str) -> None:
        """Raise `NotAllowed` unless they may steer what belongs to an owner."""
        if not self.principal.may_steer(owner):
            raise NotAllowed(
                f"the token {self.principal.name!r} may only read; steering needs one with the role submitter"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who sends a request by their own word: a token that was not looked up yet."""

    token: str
    console: Console

    def caller(self) -> Caller:
        """Return who it is: the holder of the token, or an operator where the console is open. Blocks.

        Raises:
            Refusal: 401: it is not valid.
            LedgerUnavailable: Redis is away.
        """
        principal = OPERATOR if self.console.is_open else holder(self.console, self.token)
        return Caller(principal=principal, console=self.console)


async def requester(request: Request) -> Requester:
    """Return who sends a request; a dependency of every route but sign-in and health. Raises `Refusal`."""
    return Requester(token=checked_token(request), console=request.app.state.console)


SomeCaller = Annotated[Caller, Depends(requester)]
"""Who makes a request: `ThreadedRoute` makes a requester a caller before an endpoint runs."""
