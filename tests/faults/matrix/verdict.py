"""What became of the jobs of a row, seen from outside the ledger: the bucket, the workers' logs, the event stream."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from faults.matrix.recorder import EventRecord
from faults.matrix.testbed import BATCH, Injection, Testbed
from reelmill_common.jobs import JobState
from reelmill_common.ledger import JobView, Ledger
from reelmill_common.storage import ClipStore

PAGE = 1000
READERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One row's numbers.

    Attributes:
        lost: Jobs without a clip in the bucket that is whole, has its manifest and is what the ledger names.
        published_twice: Jobs with more than one manifest in the bucket, accepted finish or worker's word of it.
        rendered_twice: Jobs that more than one attempt rendered to the end.
        strays: Objects in the bucket that belong to no published clip.
        claims: Attempts begun, all jobs together.
        recovery_s: From an injection (or an outage's end) until a job that was in flight where it hit was published.
        back_s: From an injection (or an outage's end) until a worker that it hit claimed a job again.
        doomed_alive: Jobs that cannot succeed and yet have not failed.
    """

    jobs: int
    lost: int
    published_twice: int
    rendered_twice: int
    strays: int
    claims: int
    recovery_s: tuple[float, ...]
    back_s: tuple[float, ...]
    doomed_alive: int
    lost_why: tuple[str, ...]

    def numbers(self) -> dict[str, Any]:
        """Return what a row of the table shows."""
        return {
            "jobs": self.jobs,
            "lost": self.lost,
            "published_twice": self.published_twice,
            "rendered_twice": self.rendered_twice,
            "strays": self.strays,
            "claims": self.claims,
            "recovery_median_s": round(median(self.recovery_s), 2) if self.recovery_s else None,
            "recovery_max_s": max(self.recovery_s, default=None),
            "back_max_s": max(self.back_s, default=None),
            "recovery_s": list(self.recovery_s),
            "back_s": list(self.back_s),
        }


def judge(testbed: Testbed, store: ClipStore, *, check_bytes: bool = True, forgets: bool = False) -> Verdict:
    """Look at a testbed whose batch is over, or will never be.

    Where Redis `forgets`, only the store says what was published twice: a forgotten finish is accepted again.
    """
    records = testbed.recorder.records
    views = {view.job_id: view for view in _views(testbed.farm.ledger)}
    wanted = [views[job] for job in testbed.jobs if job not in testbed.doomed]
    sizes = {item.key: item.size_bytes for item in store.list(f"{BATCH}/")}
    manifests = _manifests(store, sizes)
    whole = {
        job for job, clips in manifests.items() if any(_is_whole(store, clip, sizes, check_bytes) for clip in clips)
    }
    lost = [view for view in wanted if view.job_id not in whole or not _is_listed(view, manifests[view.job_id])]
    said = _logged(worker.log for worker in testbed.farm.workers)
    drawn = _drawn(records)
    accepted = Counter(record.job_id for record in records if record.name == "job.finished")
    return Verdict(
        jobs=len(testbed.jobs),
        lost=len(lost),
        published_twice=sum(
            max(len(manifests.get(job, ())), *((0,) if forgets else (accepted[job], said["clip.rendered"][job]))) > 1
            for job in testbed.jobs
        ),
        rendered_twice=sum(max(said["card.drawn"][job], drawn[job]) > 1 for job in testbed.jobs),
        strays=len(sizes) - 3 * len(whole),
        claims=sum(record.name == "job.claimed" for record in records),
        recovery_s=tuple(sorted(_recoveries(testbed.injections, records))),
        back_s=tuple(sorted(_returns(testbed.injections, records))),
        doomed_alive=sum(views[job].state is not JobState.FAILED for job in testbed.doomed),
        lost_why=tuple(_why(view) for view in lost[:5]),
    )


def _views(ledger: Ledger) -> Iterator[JobView]:
    start = 0
    while page := ledger.jobs.page(BATCH, start=start, count=PAGE):
        yield from page
        start += len(page)


def _manifests(store: ClipStore, sizes: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    keys = [key for key in sizes if key.endswith(".json")]
    found: dict[str, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for text in pool.map(store.get, keys):
            manifest = json.loads(text)
            found.setdefault(manifest["job"]["job_id"], []).append(manifest["clip"])
    return found


def _is_whole(store: ClipStore, clip: dict[str, Any], sizes: dict[str, int], check_bytes: bool) -> bool:
    key = clip["key"]
    if sizes.get(key) != clip["size_bytes"] or key.replace(".mp4", ".jpg") not in sizes:
        return False
    return not check_bytes or hashlib.sha256(store.get(key)).hexdigest() == clip["sha256"]


def _is_listed(view: JobView, clips: Sequence[dict[str, Any]]) -> bool:
    return (
        view.state is JobState.SUCCEEDED
        and view.result is not None
        and view.result.key in [clip["key"] for clip in clips]
    )


def _why(view: JobView) -> str:
    return f"{view.row} {view.state} after {view.attempts} attempts: {dict(view.error or {})}"


def _logged(logs: Iterable[Path]) -> dict[str, Counter[str]]:
    """Count by job how often the workers' logs tell of a render's end, and of a clip that was accepted."""
    said: dict[str, Counter[str]] = {"card.drawn": Counter(), "clip.rendered": Counter()}
    for log in logs:
        with log.open(errors="replace") as lines:
            for line in lines:
                name = next((name for name in said if f'"{name}"' in line), None)
                if name is not None and line.startswith("{") and line.endswith("}\n"):
                    said[name][json.loads(line)["job_id"]] += 1
    return said


def _drawn(records: Sequence[EventRecord]) -> Counter[str]:
    """Count by job the attempts that reached the mux, as the event stream has it."""
    attempts: dict[str, int] = {}
    reached: set[tuple[str, int]] = set()
    for record in records:
        if record.name == "job.claimed":
            attempts[record.job_id] = record.attempt
        elif record.stage == "mux":
            reached.add((record.job_id, attempts.get(record.job_id, 0)))
    return Counter(job for job, _ in reached)


def _recoveries(injections: Sequence[Injection], records: Sequence[EventRecord]) -> Iterator[float]:
    finished = {record.job_id: record.at_s for record in records if record.name == "job.finished"}
    for injection in injections:
        for job in injection.jobs:
            if job in finished:  # one that is not is lost, and counted there
                yield round(max(0.0, finished[job] - injection.at_s), 2)


def _returns(injections: Sequence[Injection], records: Sequence[EventRecord]) -> Iterator[float]:
    claims = [record for record in records if record.name == "job.claimed"]
    for injection in injections:
        for worker in injection.workers:
            later = [record.at_s for record in claims if record.worker == worker and record.at_s >= injection.at_s]
            if later:
                yield round(min(later) - injection.at_s, 2)
