"""Reuse: finds clips that the farm has already, so that equal jobs need not be rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from reelmill_common.errors import InvalidDocument, InvalidJob, NotFound, ObjectTooLarge
from reelmill_common.jobs import RenderJob
from reelmill_common.ledger import JobView, Ledger, WorkerState, WorkerView
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside
from reelmill_common.text.untrusted_json import MOST_BYTES, read_object
from reelmill_common.worker_classes import classes_of

ReuseMode = Literal["same", "any"]
"""Which clips: `same`: of the model that the workers have now; `any`: of any model."""
MODES: tuple[ReuseMode, ...] = ("same", "any")
CHUNK = 500
"""Jobs that are looked up at once."""
LOOKERS = 8
"""Clips that are checked in the store at the same time."""


def reuse_mode(text: str) -> ReuseMode | None:
    """Return the mode that `--reuse` names, or None if it is empty: clips are not reused.

    Raises:
        InvalidJob: The mode is unknown.
    """
    if text and text not in MODES:
        raise InvalidJob(f"--reuse {text[:40]!r} is unknown; use same (clips of the workers' present model) or any")
    return text or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """Finds equal clips in the store for jobs that are about to be submitted.

    Attributes:
        worker_class: Class of the worker that rendered the clip, in mode `same`; a clip does not show labels.
    """

    ledger: Ledger
    store: ClipStore
    mode: ReuseMode
    worker_class: str = ""
    _models: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def find(self, jobs: Iterable[RenderJob]) -> dict[str, JobView]:
        """Return the job that made an equal clip, by the id of the job that can reuse it.

        Raises:
            StoreError: The store does not answer.
        """
        found: dict[str, JobView] = {}
        usable: dict[str, bool] = {}
        rest = iter(jobs)
        with ThreadPoolExecutor(LOOKERS, thread_name_prefix="reuse") as lookers:
            while chunk := list(islice(rest, CHUNK)):
                made = dict(self._made(chunk))
                fresh = {view.job_id: view for view in made.values() if view.job_id not in usable}
                usable |= zip(fresh, lookers.map(self._is_usable, fresh.values()), strict=True)
                found |= {job_id: view for job_id, view in made.items() if usable[view.job_id]}
        return found

    def _made(self, jobs: list[RenderJob]) -> Iterator[tuple[str, JobView]]:
        made = self.ledger.reuse.made([job.spec for job in jobs])
        for job in jobs:
            view = made.get(job.spec.to_json())
            if view is not None and view.job_id != job.job_id:
                yield job.job_id, view

    def _is_usable(self, view: JobView) -> bool:
        """Whether the clip is there, whole, and of an accepted model."""
        result = view.result
        head = None if result is None else self.store.head(result.key)
        if result is None or head is None or head.size_bytes != result.size_bytes:
            return False
        key = beside(result.key, ".json")
        try:
            known = read_object(self.store.get(key, most_bytes=MOST_BYTES), key)
        except (NotFound, InvalidDocument, ObjectTooLarge):
            return False
        if known.get("latents_sha256") != result.latents_sha256:
            return False
        if self.mode == "any":
            return True
        of_class = not self.worker_class or self.worker_class in classes_of(known)
        return of_class and str(known.get("model_hash")) in self._present(view.spec.profile)

    def _present(self, profile: str) -> set[str]:
        """Return the models of a profile's live workers, or else that of the worker that was seen last."""
        if profile not in self._models:
            workers = [view for view in self.ledger.workers.all() if view.lane == profile and view.info.model_hash]
            alive = [view for view in workers if view.state is not WorkerState.DEAD]
            last: list[WorkerView] = sorted(workers, key=lambda view: view.seen_s)[:1]
            self._models[profile] = {view.info.model_hash for view in alive or last}
        return self._models[profile]
