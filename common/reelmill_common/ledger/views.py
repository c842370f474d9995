"""What Redis answers, turned into the records of `records.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from reelmill_common.config.setting_values import FlowerPrompts
from reelmill_common.contract import LABEL_SEPARATOR, PROMPT_CHARS
from reelmill_common.errors import InvalidDocument
from reelmill_common.job_fields.metadata import from_json
from reelmill_common.jobs import BatchState, JobState, RenderSpec
from reelmill_common.ledger.marks import read_choice
from reelmill_common.ledger.records import (
    Account,
    BatchView,
    Event,
    JobView,
    OwnerView,
    Result,
    Wait,
    WorkerState,
    WorkerView,
)
from reelmill_common.ledger.worker_info import WorkerInfo
from reelmill_common.text.untrusted_json import read_json, read_object

LETTERS: Mapping[JobState, str] = {
    JobState.QUEUED: "q",
    JobState.HELD: "h",
    JobState.DISPATCHED: "d",
    JobState.RUNNING: "r",
    JobState.CANCEL_REQUESTED: "x",
    JobState.SUCCEEDED: "s",
    JobState.FAILED: "f",
    JobState.CANCELLED: "c",
}
"""How Lua writes states."""
STATES: Mapping[str, JobState] = {letter: state for state, letter in LETTERS.items()}

COUNTS = ("clips", "reused", "bytes", "gpu", "energy", "metered", "waste", "waste_energy")
"""What `lua/lib/account.lua` counts."""

_EVENT_FIELDS = ("e", "b", "j", "w")
_MAY_DIE = (WorkerState.STARTING, WorkerState.READY, WorkerState.RESTING, WorkerState.PAUSED)


def job_view(
    job_id: str,
    job: Mapping[str, str],
    priority: str,
    spec: str,
    error: str | None,
    result: str | None,
    metadata: str | None,
    *,
    choice: str | None,
) -> JobView:
    """Build one job from its hash, its batch's priority and its JSON texts. A priority of its own goes before that."""
    return JobView(
        job_id=job_id,
        batch=job["b"],
        row=job["r"],
        state=STATES[job["s"]],
        spec=RenderSpec.from_json(spec),
        priority=int(job.get("o", priority)),
        own_priority="o" in job,
        lane=job["l"],
        generation=int(job["g"]),
        attempts=int(job.get("a", 0)),
        stage=job.get("x", ""),
        worker=job.get("w", ""),
        error=_error(error) if error else None,
        result=read_result(result) if result else None,
        submitted_at=_seconds(job.get("t0")),
        started_at=_seconds(job.get("t1")),
        finished_at=_seconds(job.get("t2")),
        metadata=from_json(metadata),
        choice=read_choice(choice) if choice else None,
    )


def batch_view(name: str, batch: Mapping[str, str]) -> BatchView:
    """Build one batch from its hash; its state follows from its counters."""
    counts = {state: int(batch.get(letter, 0)) for state, letter in LETTERS.items()}
    waits = _waits(batch)
    state = BatchState.SCHEDULED if waits else BatchState.ACTIVE
    if batch["paused"] == "1":
        state = BatchState.PAUSED
    if all(state.is_final or not count for state, count in counts.items()):
        state = BatchState.DONE
    return BatchView(
        name=name,
        state=state,
        priority=int(batch["priority"]),
        weight=int(batch["weight"]),
        max_in_flight=int(batch["cap"]),
        owner=batch["owner"],
        counts=counts,
        created_at=int(batch["created"]) / 1000,
        finished_at=_seconds(batch.get("done")),
        window=batch.get("window", ""),
        shut=batch.get("shut") == "1",
        max_failures=batch.get("max_failures", ""),
        start_after=_time_of(batch, "start"),
        expires_at=_time_of(batch, "expires"),
        finish_by=_time_of(batch, "finish_by"),
        after=_names(batch, "after"),
        after_any=_names(batch, "after_any"),
        why_paused=batch.get("why_paused", ""),
        waits_for=() if state is BatchState.DONE else waits,
        report=batch.get("report", ""),
        worker_class=batch.get("class", ""),
        source=batch.get("source", ""),
        account=account({count: int(batch[f"cost:{count}"]) for count in COUNTS if f"cost:{count}" in batch}),
    )


def account(counts: Mapping[str, int]) -> Account:
    """Build an account from its counts (any may be absent): milliseconds and millijoules."""
    return Account(
        clips=counts.get("clips", 0),
        reused=counts.get("reused", 0),
        size_bytes=counts.get("bytes", 0),
        gpu_s=counts.get("gpu", 0) / 1000,
        energy_j=counts["energy"] / 1000 if "energy" in counts else None,
        metered=counts.get("metered", 0),
        wasted_gpu_s=counts.get("waste", 0) / 1000,
        wasted_energy_j=counts["waste_energy"] / 1000 if "waste_energy" in counts else None,
    )


def owner_view(name: str, owner: Mapping[str, str]) -> OwnerView:
    """Build one owner from its hash, which may be empty."""
    return OwnerView(
        name=name,
        weight=int(owner.get("weight", 1)),
        max_in_flight=int(owner.get("cap", 0)),
        in_flight=int(owner.get("n", 0)),
    )


def worker_view(answer: Sequence[Any], *, live_s: float) -> WorkerView:
    """Build one worker from `workers.lua`'s answer. Silent for `live_s` s it is dead, or gone."""
    name, lane, state, info, reason, silent_ms, jobs, may_return, lanes = answer
    state = WorkerState(state)
    if silent_ms >= live_s * 1000:
        state = WorkerState.DEAD if state in _MAY_DIE else state
        state = WorkerState.GONE if state is WorkerState.DRAINING else state
    return WorkerView(
        name=name,
        lane=lane,
        state=state,
        info=WorkerInfo.from_json(info),
        reason=reason,
        jobs=tuple(sorted(jobs)),
        seen_s=silent_ms / 1000,
        may_return=may_return == "1",
        lanes=tuple(lanes.split(",")),
    )


def event(event_id: str, entry: Mapping[str, str]) -> Event:
    """Build one event from its stream entry."""
    return Event(
        event_id=event_id,
        name=entry["e"],
        batch=entry["b"],
        job_id=entry["j"],
        worker=entry["w"],
        fields={name: value for name, value in entry.items() if name not in _EVENT_FIELDS},
    )


def result_json(result: Result) -> str:
    """Write a result in one canonical form, so that the same result said twice is the same text.

    Its values in the order of its fields, without names and without defaults at the end: every clip's result is kept.
    """
    values = [getattr(result, item.name) for item in fields(result)]
    for item in reversed(fields(result)):
        if values[-1] != item.default:
            break
        values.pop()
    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=dict)


def read_result(text: str) -> Result:
    """Read what `result_json` wrote, here or in another version; what it left out is at its default.

    The first versions wrote an object. What a later version adds, at the end, is passed over.
    """
    kept, names = read_json(text, "a job's result in the ledger"), [item.name for item in fields(Result)]
    try:
        if isinstance(kept, dict):
            return Result(**{name: value for name, value in kept.items() if name in names})
        if not isinstance(kept, list):
            raise TypeError("it is not a list")  # noqa: TRY301 - as one of the wrong length
        return Result(**dict(zip(names, kept, strict=False)))
    except TypeError as err:
        raise InvalidDocument(f"a job's result in the ledger is damaged ({err}); render the job again") from err


def _error(text: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in read_object(text, "the error in the ledger").items()}
    except InvalidDocument as err:
        return {"code": err.code, "message": str(err)}


def _object_or_empty(text: str) -> dict[str, Any]:
    """Read an object of JSON; the job is there all the same if its text cannot be read."""
    try:
        return read_object(text, "what the ledger holds")
    except InvalidDocument:
        return {}


def label(batch: str, spec: str, *, prompts: FlowerPrompts) -> str:
    """Return the short text that stands for a job in Flower: batch, seed, and the start of its prompt or nothing of it.

    No name of a batch holds the separator, so the parts can be told apart again.
    """
    # A newer producer's may lack what we know: the claim refuses such a job, and not the pump.
    values = _object_or_empty(spec)
    prompt = str(values.get("prompt", "")) if prompts == "cut" else ""
    start = prompt if len(prompt) <= PROMPT_CHARS else prompt[: PROMPT_CHARS - 1] + "…"
    return LABEL_SEPARATOR.join([batch, f"seed {values.get('seed', '?')}", start])


def _waits(batch: Mapping[str, str]) -> tuple[Wait, ...]:
    stuck = _names(batch, "stuck")
    return (
        *([Wait(kind="window")] if batch.get("shut") == "1" else []),
        *([Wait(kind="start", until=_time_of(batch, "start"))] if batch.get("early") == "1" else []),
        *(Wait(kind="after", batch=name, stuck=name in stuck) for name in _names(batch, "unmet")),
    )


def _names(batch: Mapping[str, str], field: str) -> tuple[str, ...]:
    return tuple(name for name in batch.get(field, "").split(",") if name)


def _time_of(batch: Mapping[str, str], field: str) -> float:
    return int(batch.get(field) or 0) / 1000


def _seconds(milliseconds: str | None) -> float | None:
    return None if milliseconds is None else int(milliseconds) / 1000
