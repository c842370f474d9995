"""Policy: how a batch shares the farm, and what a change of it means for its hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch
from reelmill_common.ledger.records import BatchView
from reelmill_common.text.suggestions import did_you_mean


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
    finish_by: float | None = None
    after: Sequence[str] | None = None
    after_any: Sequence[str] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is to be changed."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}


def changed_fields(view: BatchView, change: PolicyChange) -> dict[str, str]:
    """Return the fields of a batch's hash that a change sets, as the functions get them; empty if it changes nothing.

    Raises:
        InvalidJob: A value is out of range.
    """
    after = replace(_policy_of(view), **change.given())
    given = change.given().keys()
    changes: dict[str, str] = {}
    if "weight" in given:
        changes["weight"] = str(after.weight)
    if "max_in_flight" in given:
        changes["cap"] = str(after.max_in_flight)
    more = more_policy(after)
    names = {"max_failures": "max_failures", "start_after": "start", "expires_at": "expires", "finish_by": "finish_by"}
    changes |= {field: more[field] for name, field in names.items() if name in given}
    if given & {"after", "after_any"}:
        changes |= {field: more[field] for field in ("after", "after_any")}
    return changes


def more_policy(batch: Batch) -> dict[str, str]:
    """Return the part of a batch's policy that functions get as JSON, as its hash has it."""
    return {
        "max_failures": batch.max_failures,
        "start": _milliseconds(batch.start_after),
        "expires": _milliseconds(batch.expires_at),
        "finish_by": _milliseconds(batch.finish_by),
        "after": ",".join(dict.fromkeys(batch.after)),
        "after_any": ",".join(dict.fromkeys(batch.after_any)),
        "class": batch.worker_class,
        "source": batch.source,
    }


def refuse_wait(batch: str, why: str, other: str, *, known: Iterable[str]) -> None:
    """Raise the error for what a function answered about a batch that another one should wait for.

    Raises:
        NotFound: It is not there.
        InvalidJob: It waits for this one.
    """
    if why == "unknown":
        meant = did_you_mean(other, (name for name in known if name != batch))
        raise NotFound(f"batch {batch!r} should wait for {other!r}, which is not there; {meant}submit {other!r} first")
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
        finish_by=view.finish_by,
        after=view.after,
        after_any=view.after_any,
    )


def _milliseconds(time_s: float) -> str:
    return str(round(time_s * 1000)) if time_s else ""
