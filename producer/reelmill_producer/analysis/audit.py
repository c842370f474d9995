"""Audit: compares the clips of the ledger with the objects of the store, by listings, not by a request a clip.

The listing is made before the ledger is read, and jobs that ended since are left out: work in progress is not reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from reelmill_common.archive import SUFFIX, read_archive
from reelmill_common.contract import STORE_FOLDERS
from reelmill_common.errors import InvalidJob, NotFound, ReelmillError
from reelmill_common.jobs import JobState
from reelmill_common.ledger import JobView, Ledger, Result
from reelmill_common.recipe import origin_of
from reelmill_common.storage import ClipStore, StoredObject
from reelmill_common.storage.keys import beside, job_stem
from reelmill_common.text.suggestions import did_you_mean
from reelmill_common.text.untrusted_json import MOST_BYTES

YOUNG_S = 3600.0
"""Age below which objects without a manifest may belong to an attempt that is still running."""
RECENT_S = 600.0
"""Seconds after a job's end during which a clip that the listing lacks is also looked for by HEAD."""
MANIFEST_S = 0.002
"""Tolerance for the time of submission, which a manifest has in milliseconds."""
_CLIP_SUFFIXES = (".mp4", ".jpg", ".webp", ".json")
_ALWAYS = (".mp4", ".jpg", ".json")
"""The objects that every clip has; a preview is there only if the worker's settings asked for it."""


class FaultKind(StrEnum):
    """What is wrong. The values are stable."""

    MISSING = "missing"
    ALTERED = "altered"
    SUPERSEDED = "superseded"
    LEFTOVER = "leftover"
    UNKNOWN = "unknown"


LOST = (FaultKind.MISSING, FaultKind.ALTERED)
"""The clip of a succeeded job is not what the ledger says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference between ledger and store.

    Attributes:
        job_id, row: The job that it belongs to; empty where none is known.
        keys: Objects that are missing, altered or not referred to.
        size_bytes: Size of those that are there.
        why: The reason, in a few words.
        clip: Key of the clip that the ledger has for the job, if that is what is lost.
        removable: Whether the objects are of no use: the job has ended, and its clip, if it has one, is another and is
            there.
    """

    kind: FaultKind
    batch: str
    why: str
    keys: tuple[str, ...]
    job_id: str = ""
    row: str = ""
    size_bytes: int = 0
    clip: str = ""
    removable: bool = False


@dataclass(slots=True, kw_only=True)
class Audit:
    """One comparison of a ledger with a store.

    Attributes:
        checksums: Whether to read each clip and compare its SHA-256: finds changes that keep the size.
        clips: Succeeded jobs that were compared so far.
        objects: Objects that were compared so far.
    """

    ledger: Ledger
    store: ClipStore
    checksums: bool = False
    clips: int = 0
    objects: int = 0
    _other: dict[str, dict[str, StoredObject]] = field(default_factory=dict[str, dict[str, StoredObject]])

    def of_batch(self, batch: str) -> Iterator[Discrepancy]:
        """Compare one batch with the objects below its name.

        Raises:
            NotFound: The ledger has no such batch, and the store has nothing of it.
        """
        since = self.ledger.timetable.now().timestamp()
        found = list(self.store.list(f"{batch}/"))
        known = {view.name for view in self.ledger.batches.all()}
        if not found and batch not in known:
            lists = f"{did_you_mean(batch, known)}`reelmill status` lists the batches"
            raise NotFound(f"no batch {batch!r} in the ledger or in the store; {lists}")
        yield from self._compare(batch, found, since, known=batch in known)

    def of_farm(self) -> Iterator[Discrepancy]:
        """Compare every batch, and what else lies in the store."""
        since = self.ledger.timetable.now().timestamp()
        known = {view.name for view in self.ledger.batches.all()}
        seen: set[str] = set()
        for batch, objects in groupby(self.store.list(), key=lambda item: item.key.partition("/")[0]):
            seen.add(batch)
            if batch not in STORE_FOLDERS or batch in known:
                yield from self._compare(batch, objects, since, known=batch in known)
        for batch in sorted(known - seen):
            yield from self._compare(batch, [], since, known=True)

    def _compare(
        self, batch: str, listed: Iterable[StoredObject], since: float, *, known: bool
    ) -> Iterator[Discrepancy]:
        objects = {item.key: item for item in listed}
        self.objects += len(objects)
        left = dict(objects)
        if known:
            for job in self.ledger.jobs.every(batch):
                for key in _keys_of(job):
                    left.pop(key, None)
                if job.result is not None and (job.finished_at or 0.0) < since:
                    self.clips += 1
                    yield from self._lost(job, job.result, objects, since)
        groups = _groups(left)
        if groups:
            yield from self._unreferenced(batch, groups, objects, known=known)

    def _lost(
        self, job: JobView, result: Result, objects: Mapping[str, StoredObject], since: float = 0.0
    ) -> Iterator[Discrepancy]:
        there, missing = self._missing(job, objects)

        def lost(kind: FaultKind, why: str, keys: Iterable[str], size_bytes: int = 0) -> Discrepancy:
            return Discrepancy(
                kind=kind,
                batch=job.batch,
                row=job.row,
                job_id=job.job_id,
                clip=result.key,
                why=why,
                keys=tuple(keys),
                size_bytes=size_bytes,
            )

        if missing and since - (job.finished_at or 0.0) < RECENT_S:  # listings may lag behind what a HEAD shows
            missing = [key for key in missing if self.store.head(key) is None]
            if not missing:
                return
        if missing:
            what = ", ".join(key.rpartition(".")[2] for key in missing)
            yield lost(FaultKind.MISSING, f"not in the store: {what}", missing)
            return
        size = there[result.key].size_bytes
        why = f"{size} bytes, and {result.size_bytes} were published" if size != result.size_bytes else ""
        if not why and self.checksums:
            body = self.store.get(result.key)
            why = "" if hashlib.sha256(body).hexdigest() == result.sha256 else "other bytes than those published"
        if why:
            yield lost(FaultKind.ALTERED, why, [result.key], size)

    def _missing(
        self, job: JobView, objects: Mapping[str, StoredObject]
    ) -> tuple[Mapping[str, StoredObject], list[str]]:
        """Return what is listed where a job's clip should be, and what of the clip is not there."""
        keys = [key for key in _keys_of(job) if key.endswith(_ALWAYS)]
        folder = keys[0].partition("/")[0] if keys else job.batch
        there = objects if folder == job.batch else self._listed(folder)
        return there, [key for key in keys if key not in there]

    def _listed(self, folder: str) -> Mapping[str, StoredObject]:
        """Return the objects of another batch, for clips that were reused from it; those of the last one are cached."""
        if folder not in self._other:
            self._other = {folder: {item.key: item for item in self.store.list(f"{folder}/")}}
        return self._other[folder]

    def _unreferenced(
        self, batch: str, groups: dict[str, list[StoredObject]], objects: Mapping[str, StoredObject], *, known: bool
    ) -> Iterator[Discrepancy]:
        """Classify the objects that no job of the batch refers to, one clip's group after the other."""
        archived, readable = self._archived(batch, objects)
        used = archived | self._used_elsewhere(batch)
        for stem in [stem for stem in groups if f"{stem}.mp4" in used]:
            del groups[stem]
        if known:
            by_prefix: dict[str, list[str]] = {}
            for stem in groups:
                for prefix in _prefixes(stem):
                    by_prefix.setdefault(prefix, []).append(stem)
            for job in self.ledger.jobs.every(batch):
                for stem in by_prefix.get(job_stem(batch, job.row), ()):
                    if (group := groups.pop(stem, None)) is not None:
                        yield from self._of_job(job, group, objects, sure=readable)
        for group in groups.values():
            yield _discrepancy(FaultKind.UNKNOWN, batch, group, "of no job in the ledger or in an archive")

    def _of_job(
        self, job: JobView, group: list[StoredObject], objects: Mapping[str, StoredObject], *, sure: bool
    ) -> Iterator[Discrepancy]:
        if not job.state.is_final:
            return  # its attempt is still running
        written, submitted = self._submitted_s(group, job), job.submitted_at or 0.0
        has_clip = job.result is not None and not any(self._lost(job, job.result, objects))
        kind, removable = FaultKind.LEFTOVER, has_clip
        if written is None:
            old = all(self._age_s(item) >= YOUNG_S for item in group)
            why = "without a manifest, so of an attempt that did not end" + ("" if old else "; young, so left alone")
            removable = has_clip and old
        elif abs(written - submitted) < MANIFEST_S:
            why = "of an attempt that was not accepted"
            removable = has_clip or job.result is None
        elif written > submitted:
            kind, why, removable = FaultKind.UNKNOWN, "of a later submission than this ledger has", False
        else:
            kind = FaultKind.SUPERSEDED
            why = "of an earlier submission of the row" + ("" if has_clip else ", which has no clip but this")
        yield _discrepancy(kind, job.batch, group, why, removable=sure and removable, job=job)

    def _submitted_s(self, group: list[StoredObject], job: JobView) -> float | None:
        """Return the time of submission in a clip's manifest; None if it has none, or one of another job."""
        key = next((item.key for item in group if item.key.endswith(".json")), "")
        if not key:
            return None
        try:
            origin, submitted_s = origin_of(self.store.get(key, most_bytes=MOST_BYTES))
        except ReelmillError:
            return None
        return submitted_s if origin.job_id == job.job_id else None

    def _age_s(self, item: StoredObject) -> float:
        return 0.0 if item.modified_s is None else self.ledger.timetable.now().timestamp() - item.modified_s

    def _archived(self, batch: str, objects: Iterable[str]) -> tuple[set[str], bool]:
        """Return the clips that archives of the batch refer to, and whether all archives could be read."""
        clips: set[str] = set()
        archives = [key for key in objects if key.startswith(f"{batch}/archive-") and key.endswith(SUFFIX)]
        try:
            for key in archives:
                results = (record.get("result") for record in read_archive(self.store, key))
                clips |= {str(result["key"]) for result in results if isinstance(result, dict) and "key" in result}
        except (InvalidJob, NotFound):
            return clips, False
        return clips, True

    def _used_elsewhere(self, batch: str) -> set[str]:
        """Return the clips of a batch that jobs of other batches reuse."""
        return {
            job.result.key
            for view in self.ledger.batches.all()
            if view.name != batch
            for job in self.ledger.jobs.every(view.name, states=[JobState.SUCCEEDED])
            if job.result is not None and job.result.key.startswith(f"{batch}/")
        }


def remove(ledger: Ledger, store: ClipStore, found: Discrepancy) -> bool:
    """Remove the objects of a discrepancy; False if they have become the job's clip since they were found.

    The manifest goes first: without it the rest is not taken for a clip. The video goes last: an attempt that may put
    one owns these keys.

    Raises:
        StoreError: The store refuses.
    """
    if not ledger.attempts.withdraw(found.job_id, f"{found.keys[0].rpartition('.')[0]}.mp4", ""):
        return False
    for key in sorted(found.keys, key=lambda key: (key.endswith(".mp4"), not key.endswith(".json"))):
        store.delete(key)
    return True


def _keys_of(job: JobView) -> tuple[str, ...]:
    return () if job.result is None else tuple(beside(job.result.key, suffix) for suffix in _CLIP_SUFFIXES)


def _groups(left: Mapping[str, StoredObject]) -> dict[str, list[StoredObject]]:
    """Group objects by clip: by key without suffix. Archives belong to the batch, not to a clip."""
    groups: dict[str, list[StoredObject]] = {}
    for key, item in left.items():
        if key.endswith(SUFFIX) and "/archive-" in key:
            continue
        stem = key.rpartition(".")[0] if key.endswith(_CLIP_SUFFIXES) else key
        groups.setdefault(stem, []).append(item)
    return groups


def _prefixes(stem: str) -> Iterator[str]:
    """Yield the possible stems of a job, given the stem of an attempt: it whole, or cut at any of its dots."""
    yield stem
    for place, letter in enumerate(stem):
        if letter == ".":
            yield stem[:place]


def _discrepancy(
    kind: FaultKind,
    batch: str,
    group: list[StoredObject],
    why: str,
    *,
    removable: bool = False,
    job: JobView | None = None,
) -> Discrepancy:
    return Discrepancy(
        kind=kind,
        batch=batch,
        why=why,
        keys=tuple(item.key for item in group),
        job_id=job.job_id if job else "",
        row=job.row if job else "",
        size_bytes=sum(item.size_bytes for item in group),
        removable=removable,
    )
