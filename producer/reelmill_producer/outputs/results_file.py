"""Results: the outcome of each finished job of a batch, one JSON object a line, for scripts."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from reelmill_common.archive import newest_archive, read_archive
from reelmill_common.errors import InvalidJob, ReelmillError, StoreError, StoreRefused
from reelmill_common.jobs import JobState, check_name
from reelmill_common.ledger import ClipMark, JobView
from reelmill_common.storage import ClipStore
from reelmill_producer.client import Reelmill


def results_of(farm: Reelmill, batch: str) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each job of a batch that has ended, in the order of submission.

    A batch that was pruned from the ledger is read from its newest archive in the store.

    Raises:
        NotFound: No such batch, nor an archive of it.
        InvalidJob: Its archive is damaged, or was not written by Reelmill.
    """
    if not farm.has_batch(batch):
        known = [view.name for view in farm.batches()]
        yield from archived_results(farm.store, newest_archive(farm.store, batch, known=known))
        return
    # All jobs, not only those that have ended: pages of these would shift while others end.
    for job in farm.jobs(batch):
        if job.state.is_final:
            yield result_record(job, farm.store)


def archived_results(store: ClipStore, archive: str) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each job by the archive of a batch.

    Raises:
        InvalidJob: The archive is damaged, or was not written by Reelmill.
    """
    for record in read_archive(store, archive):
        if record.get("kind") == "job":
            yield _archived_record(record, store, archive)


def result_record(job: JobView, store: ClipStore) -> dict[str, Any]:
    """Return the outcome of a job as plain data; `key`, `url` and `sha256` are null unless there is a clip.

    `metadata` is included if the row has any, and `choice` (`mark`, `note`) if a person marked the clip.
    """
    result = job.result
    return {
        "row": job.row,
        "job_id": job.job_id,
        "state": job.state.value,
        "key": None if result is None else result.key,
        "url": None if result is None else store.url(result.key),
        "sha256": None if result is None else result.sha256,
        "seed": job.spec.seed,
        "error": None if job.error is None or result is not None else dict(job.error),
        **_metadata(job.metadata),
        **({} if job.choice is None else _choice(job.choice.mark, job.choice.note)),
    }


def _archived_record(record: Mapping[str, Any], store: ClipStore, archive: str) -> dict[str, Any]:
    """Return the outcome of a job by a record of an archive, which is untrusted."""
    try:
        job: _Job = _JOB.validate_python(record)
        check_name("row id", job.row)
        return {
            "row": job.row,
            "job_id": job.job_id,
            "state": job.state.value,
            "key": None if job.result is None else job.result.key,
            "url": None if job.result is None else store.url(job.result.key),
            "sha256": None if job.result is None else job.result.sha256,
            "seed": job.spec.seed,
            "error": job.error if job.result is None else None,
            **_metadata(job.metadata or {}),
            **({} if job.choice is None else _choice(job.choice.mark, job.choice.note)),
        }
    except (ValueError, StoreError) as err:  # also pydantic's, and an invalid key
        why = "; ".join(str(err).splitlines()[:3])[:300]
        raise InvalidJob(
            f"{archive} holds what is not a job of ours ({why}), so it was damaged or not written by Reelmill; "
            "look for an older one"
        ) from err


@dataclass(frozen=True, slots=True)
class _Spec:
    seed: int


@dataclass(frozen=True, slots=True)
class _Result:
    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Choice:
    mark: str
    note: str


@dataclass(frozen=True, slots=True)
class _Job:
    """The fields of an archived job that are read; it has more."""

    row: str
    job_id: str
    state: JobState
    spec: _Spec
    result: _Result | None
    error: dict[str, str] | None
    metadata: dict[str, str] | None = None
    choice: _Choice | None = None


_JOB: TypeAdapter[Any] = TypeAdapter(_Job)


def _metadata(metadata: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {"metadata": dict(metadata)} if metadata else {}


def _choice(mark: str, note: str) -> dict[str, dict[str, str]]:
    return {"choice": {"mark": str(mark), "note": note}}


def is_favourite(result: Mapping[str, Any]) -> bool:
    """Whether a person marked the clip of a result as a favourite."""
    choice: Mapping[str, str] = result.get("choice", {})
    return choice.get("mark") == ClipMark.FAVOURITE


class ResultsFile:
    """A file of results, written whole or not at all."""

    def __init__(self, path: Path, part: Path) -> None:
        self._path, self._part = path, part

    def write(self, results: Iterator[dict[str, Any]]) -> int:
        """Replace the file's content by these results; return how many they are.

        Raises:
            StoreRefused: The file cannot be written.
        """
        count = 0
        with _refusing(self._path):
            with self._part.open("w", encoding="utf-8") as handle:
                for result in results:
                    handle.write(json.dumps(result, ensure_ascii=False) + "\n")
                    count += 1
            self._part.replace(self._path)
        return count


@contextmanager
def open_results_file(path: Path, *, source: str) -> Generator[ResultsFile]:
    """Make sure that results can be written, before their jobs are submitted.

    Args:
        path: The file, which may exist already.
        source: Name of the prompt file, which must be another file.

    Raises:
        StoreRefused: It cannot be written, or is the prompt file itself.
    """
    if path.is_dir():
        raise StoreRefused(f"--results {path} is a folder; name a file in it")
    if source != "-" and path.resolve() == Path(source).resolve():
        raise StoreRefused(f"--results {path} is the prompt file itself; name another file")
    part = path.with_name(f".{path.name}.part")
    with _refusing(path):
        part.touch()
    try:
        yield ResultsFile(path, part)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _refusing(path: Path) -> Generator[None]:
    try:
        yield
    except ReelmillError:  # from reading the results; some are OSErrors too
        raise
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", None) or str(err)
        raise StoreRefused(f"cannot write --results {path} ({why}); choose another file") from err
