"""Steps for tests of what happened to jobs: some jobs of a batch, the log of an attempt."""

from __future__ import annotations

import json
from datetime import UTC

from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Ledger
from reelmill_common.storage import open_store
from reelmill_common.storage.keys import log_key


def submit(ledger: Ledger, rows: int = 1) -> list[str]:
    jobs = [
        RenderJob(batch="night", row=f"r{row}", spec=RenderSpec(prompt="a shy fox", seed=row, profile="tiny"))
        for row in range(rows)
    ]
    ledger.batches.submit(Batch(name="night"), jobs)
    return [job.job_id for job in jobs]


def keep_log(hand: Hand, claimed: Claimed, event: str, **fields: str) -> None:
    """Store what a worker's log of the attempt would be, of now."""
    now = hand.ledger.timetable.now().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    known = {"job_id": claimed.job_id, "batch": claimed.batch, "row": claimed.row, "attempt": claimed.attempt}
    line = {**known, "event": event, "level": "error", "timestamp": now, **fields}
    key = log_key(claimed.batch, claimed.row, attempt=claimed.attempt)
    content = json.dumps(line).encode() + b"\n"
    open_store(hand.settings).put(key, content, content_type="application/x-ndjson")
