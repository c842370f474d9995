"""Items: batches, jobs and workers of the ledger as the API shows them."""

from __future__ import annotations

from typing import Any

from reelmill_common.jobs import BatchState
from reelmill_common.ledger import BatchView, JobView, Result
from reelmill_producer.analysis.deadlines import in_time
from reelmill_producer.outputs.records import batch_record


def batch_item(view: BatchView, finish_expected_at: float | None) -> dict[str, Any]:
    """Return a batch; its fields are those of `BatchItem`."""
    record = batch_record(view)
    return {
        "name": record.pop("batch"),
        **record,
        "paused": view.state is BatchState.PAUSED,
        "finish_expected_at": finish_expected_at,
        "in_time": in_time(view.finish_by, view.finished_at or finish_expected_at),
    }


def job_item(view: JobView) -> dict[str, Any]:
    """Return a job; its fields are those of `JobItem`."""
    spec = view.spec
    return {
        "id": view.job_id,
        "batch": view.batch,
        "row": view.row,
        "prompt": spec.prompt,
        "seed": spec.seed,
        "width": spec.width,
        "height": spec.height,
        "frames": spec.frames,
        "fps": spec.fps,
        "profile": spec.profile,
        "state": view.state.value,
        "stage": view.stage,
        "attempts": view.attempts,
        "priority": view.priority,
        "worker": view.worker,
        "error": None if view.error is None else {name: view.error.get(name, "") for name in ("code", "message")},
        "clip": None if view.result is None else _clip_item(view, view.result),
        "choice": None if view.choice is None else {"mark": view.choice.mark.value, "note": view.choice.note},
        "metadata": dict(view.metadata),
        "submitted_at": view.submitted_at,
        "started_at": view.started_at,
        "finished_at": view.finished_at,
        "updated_at": view.finished_at or view.started_at or view.submitted_at,
    }


def _clip_item(view: JobView, result: Result) -> dict[str, Any]:
    return {
        "key": result.key,
        "bytes": result.size_bytes,
        "duration_s": round(view.spec.frames / view.spec.fps, 3),
        "sha256": result.sha256,
        "gpu_s": result.gpu_s,
        "reused_from": result.reused_from or None,
    }
