"""Policy: how batches and owners share the farm, changed while it runs, and what is due by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch
from reelmill_common.ledger import views
from reelmill_common.ledger.base import TOUCH_MOST, LedgerPart
from reelmill_common.ledger.records import BatchView, OwnerView

_SWEEP_MOST = 1000  # jobs and batches touched by one call of sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What to change of a batch; None leaves as it is. The fields are those of `Batch`, and so are the values for none.

    `after` and `after_any` replace all that the batch waits for.
    """

    priority: int | None = None
    weight: int | None = None
    max_in_flight: int | None = None
    max_failures: str | None = None
    start_after: float | None = None
    expires_at: float | None = None
    after: Sequence[str] | None = None
    after_any: Sequence[str] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is to be changed."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}


class Policies(LedgerPart):
    """Policy of batches and owners, and the sweep that does what is due by it."""

    def set_policy(self, view: BatchView, change: PolicyChange) -> None:
        """Change some of a batch's policy but for its priority (`prioritize_batch`); acts on the next clip that starts.

        Args:
            view: The batch as it is now.
            change: What to change.

        Raises:
            NotFound: No such batch, or one that it should wait for is not there.
            InvalidJob: A value is out of range, or batches would wait for each other.
        """
        after = replace(_policy_of(view), **change.given())
        given = change.given().keys()
        changes: dict[str, str] = {}
        if "weight" in given:
            changes["weight"] = str(after.weight)
        if "max_in_flight" in given:
            changes["cap"] = str(after.max_in_flight)
        more = more_policy(after)
        names = {"max_failures": "max_failures", "start_after": "start", "expires_at": "expires"}
        changes |= {field: more[field] for name, field in names.items() if name in given}
        if given & {"after", "after_any"}:
            changes |= {field: more[field] for field in ("after", "after_any")}
        if not changes:
            return
        answer = self._of_batch("policy", view.name, json.dumps(changes))
        if isinstance(answer, list):
            refuse_wait(view.name, *answer)

    def set_owner(self, name: str, *, weight: int | None = None, max_in_flight: int | None = None) -> OwnerView:
        """Change an owner's share or cap; acts on the next clip that starts. An owner may be entered beforehand.

        Raises:
            InvalidJob: A value is out of range.
        """
        Batch(name="any", owner=name, weight=1 if weight is None else weight, max_in_flight=max_in_flight or 0)
        self._server.run("owner", name, _or_nothing(weight), _or_nothing(max_in_flight))
        return self.owner(name)

    def owner(self, name: str) -> OwnerView:
        """Return one owner; one that nobody entered has the default policy."""
        (owner,) = self._server.read([("HGETALL", self._keys.owner(name))])
        return views.owner_view(name, owner)

    def owners(self) -> list[OwnerView]:
        """Return all owners, by name."""
        (names,) = self._server.read([("SMEMBERS", self._keys.owners)])
        ordered = sorted(names)
        hashes = self._server.read([("HGETALL", self._keys.owner(name)) for name in ordered]) if ordered else []
        return [views.owner_view(name, owner) for name, owner in zip(ordered, hashes, strict=True)]

    def sweep(self) -> int:
        """Let batches run whose start has come, and end what expired unstarted; return how much that touched."""
        total = 0
        while total < _SWEEP_MOST:
            touched: int = self._server.run("sweep", TOUCH_MOST)
            total += touched
            if touched < TOUCH_MOST:
                break
        return total


def more_policy(batch: Batch) -> dict[str, str]:
    """Return the part of a batch's policy that functions get as JSON, as its hash has it."""
    return {
        "max_failures": batch.max_failures,
        "start": _milliseconds(batch.start_after),
        "expires": _milliseconds(batch.expires_at),
        "after": ",".join(dict.fromkeys(batch.after)),
        "after_any": ",".join(dict.fromkeys(batch.after_any)),
        "class": batch.worker_class,
        "source": batch.source,
    }


def refuse_wait(batch: str, why: str, other: str) -> None:
    """Raise what a function said of a batch that another one should wait for.

    Raises:
        NotFound: It is not there.
        InvalidJob: It waits for this one.
    """
    if why == "unknown":
        raise NotFound(f"batch {batch!r} should wait for {other!r}, which is not there; submit that one first")
    raise InvalidJob(
        f"batch {batch!r} cannot wait for {other!r}, which waits for {batch!r} itself; neither would start"
    )


def _policy_of(view: BatchView) -> Batch:
    return Batch(
        name=view.name,
        weight=view.weight,
        max_in_flight=view.max_in_flight,
        max_failures=view.max_failures,
        start_after=view.start_after,
        expires_at=view.expires_at,
        after=view.after,
        after_any=view.after_any,
    )


def _milliseconds(moment: float) -> str:
    return str(round(moment * 1000)) if moment else ""


def _or_nothing(value: int | None) -> str:
    return "" if value is None else str(value)
