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

from faults.matrix.stand import BATCH, Stand, Strike
from faults.matrix.witness import Mark
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
        recovery_s: From a blow (or an outage's end) until a job that was in flight where it hit was published.
        back_s: From a blow (or an outage's end) until a worker that it hit claimed a job again.
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


def judge(stand: Stand, store: ClipStore, *, check_bytes: bool = True) -> Verdict:
    """Look at a stand whose batch is over, or will never be."""
    marks = stand.witness.marks
    views = {view.job_id: view for view in _views(stand.farm.ledger)}
    wanted = [views[job] for job in stand.jobs if job not in stand.doomed]
    sizes = {item.key: item.size_bytes for item in store.list(f"{BATCH}/")}
    manifests = _manifests(store, sizes)
    whole = {
        job for job, clips in manifests.items() if any(_is_whole(store, clip, sizes, check_bytes) for clip in clips)
    }
    lost = [view for view in wanted if view.job_id not in whole or not _is_listed(view, manifests[view.job_id])]
    said = _logged(worker.log for worker in stand.farm.workers)
    drawn = _drawn(marks)
    accepted = Counter(mark.job_id for mark in marks if mark.name == "job.finished")
    return Verdict(
        jobs=len(stand.jobs),
        lost=len(lost),
        published_twice=sum(
            max(len(manifests.get(job, ())), accepted[job], said["clip.rendered"][job]) > 1 for job in stand.jobs
        ),
        rendered_twice=sum(max(said["card.drawn"][job], drawn[job]) > 1 for job in stand.jobs),
        strays=len(sizes) - 3 * len(whole),
        claims=sum(mark.name == "job.claimed" for mark in marks),
        recovery_s=tuple(sorted(_recoveries(stand.strikes, marks))),
        back_s=tuple(sorted(_returns(stand.strikes, marks))),
        doomed_alive=sum(views[job].state is not JobState.FAILED for job in stand.doomed),
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


def _drawn(marks: Sequence[Mark]) -> Counter[str]:
    """Count by job the attempts that reached the mux, as the event stream has it."""
    attempts: dict[str, int] = {}
    reached: set[tuple[str, int]] = set()
    for mark in marks:
        if mark.name == "job.claimed":
            attempts[mark.job_id] = mark.attempt
        elif mark.stage == "mux":
            reached.add((mark.job_id, attempts.get(mark.job_id, 0)))
    return Counter(job for job, _ in reached)


def _recoveries(strikes: Sequence[Strike], marks: Sequence[Mark]) -> Iterator[float]:
    finished = {mark.job_id: mark.at_s for mark in marks if mark.name == "job.finished"}
    for strike in strikes:
        for job in strike.jobs:
            if job in finished:  # one that is not is lost, and counted there
                yield round(max(0.0, finished[job] - strike.at_s), 2)


def _returns(strikes: Sequence[Strike], marks: Sequence[Mark]) -> Iterator[float]:
    claims = [mark for mark in marks if mark.name == "job.claimed"]
    for strike in strikes:
        for worker in strike.workers:
            later = [mark.at_s for mark in claims if mark.worker == worker and mark.at_s >= strike.at_s]
            if later:
                yield round(min(later) - strike.at_s, 2)
