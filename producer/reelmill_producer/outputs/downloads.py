"""Downloads: a batch's clips as files with readable names, each verified and whole, or not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

from reelmill_common.archive import newest_archive, read_archive
from reelmill_common.errors import InvalidJob, NotFound, ReelmillError, StoreRefused
from reelmill_common.jobs import JobState
from reelmill_common.ledger import ClipMark
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside
from reelmill_producer.client import Reelmill
from reelmill_producer.clip_files import Wanted, fetch_clip, write_whole
from reelmill_producer.outputs.results_file import results_of

AT_ONCE = 8
RESULTS = "results.jsonl"
MOST_POSTER_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """The outcome of one clip.

    Attributes:
        fetched: Whether it was downloaded; False: its file was there and is right.
        error: Why the file is not there, or None.
    """

    wanted: Wanted
    path: Path
    fetched: bool = False
    error: ReelmillError | None = None


def wanted_clips(farm: Reelmill, batch: str, only: Sequence[str] = (), *, favourites: bool = False) -> Iterator[Wanted]:
    """Yield a batch's clips in the order of submission; those of a pruned batch come from its archive.

    Args:
        farm: The farm of the batch.
        batch: Its name.
        only: `PATTERN` for rows, or `NAME=PATTERN` for the seed, the prompt or metadata; all must match.
        favourites: Only clips that were marked as favourites.

    Raises:
        NotFound: No such batch, nor an archive of it.
        InvalidJob: The archive is damaged.
    """
    for wanted in _live(farm, batch) if farm.has_batch(batch) else _archived(farm, batch):
        if (wanted.favourite or not favourites) and all(_fits(wanted, pattern) for pattern in only):
            yield wanted


def download(store: ClipStore, clips: Iterator[Wanted], folder: Path) -> Iterator[Downloaded]:
    """Download clips and their posters into a folder; yield the outcome of each as it ends.

    A file with the right content is left alone, so an interrupted download continues where it was.

    Raises:
        StoreRefused: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise StoreRefused(f"cannot make the folder {folder} ({err.strerror}); choose another one") from err
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="download") as threads:
        try:
            running = {threads.submit(_one, store, wanted, folder) for wanted in islice(clips, 2 * AT_ONCE)}
            while running:
                ended, left = wait(running, return_when=FIRST_COMPLETED)
                running = left | {threads.submit(_one, store, wanted, folder) for wanted in islice(clips, len(ended))}
                yield from map(Future[Downloaded].result, ended)
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def write_results(farm: Reelmill, batch: str, folder: Path) -> Path:
    """Write the results of all jobs, as `export` prints them, beside the clips; return the file."""
    lines = [json.dumps(result, ensure_ascii=False) + "\n" for result in results_of(farm, batch)]
    write_whole(folder / RESULTS, "".join(lines).encode())
    return folder / RESULTS


def _one(store: ClipStore, wanted: Wanted, folder: Path) -> Downloaded:
    path = folder / wanted.file_name
    try:
        fetched = fetch_clip(store, wanted.key, path, sha256=wanted.sha256, size_bytes=wanted.size_bytes)
        poster = path.with_suffix(".jpg")
        if fetched or not poster.is_file():
            with suppress(NotFound):  # a missing poster is not an error
                write_whole(poster, store.get(beside(wanted.key, ".jpg"), most_bytes=MOST_POSTER_BYTES))
    except ReelmillError as err:
        return Downloaded(wanted=wanted, path=path, error=err)
    return Downloaded(wanted=wanted, path=path, fetched=fetched)


def _live(farm: Reelmill, batch: str) -> Iterator[Wanted]:
    for job in farm.jobs(batch, states=[JobState.SUCCEEDED]):
        if job.result is not None:
            result = {"key": job.result.key, "sha256": job.result.sha256, "size_bytes": job.result.size_bytes}
            found = _wanted(job.row, result, {"prompt": job.spec.prompt, "seed": job.spec.seed}, job.metadata)
            yield replace(found, favourite=job.choice is not None and job.choice.mark is ClipMark.FAVOURITE)


def _archived(farm: Reelmill, batch: str) -> Iterator[Wanted]:
    key = newest_archive(farm.store, batch, known=(view.name for view in farm.ledger.batches.all()))
    for record in read_archive(farm.store, key):
        if record.get("kind") == "job" and record.get("result"):
            try:
                found = _wanted(record["row"], record["result"], record["spec"], record.get("metadata") or {})
                yield replace(found, favourite=(record.get("choice") or {}).get("mark") == ClipMark.FAVOURITE)
            except (AttributeError, LookupError, TypeError, ValueError) as err:
                raise InvalidJob(f"{key} has a job that cannot be read ({err}); look for an older archive") from err


def _wanted(row: str, result: Mapping[str, Any], spec: Mapping[str, Any], metadata: Mapping[str, str]) -> Wanted:
    return Wanted(
        row=row,
        key=str(result["key"]),
        sha256=str(result["sha256"]),
        size_bytes=int(result["size_bytes"]),
        seed=int(spec["seed"]),
        fields={**metadata, "prompt": str(spec["prompt"]), "seed": str(spec["seed"]), "row": row},
    )


def _fits(wanted: Wanted, pattern: str) -> bool:
    name, equals, value = pattern.partition("=")
    if not equals:
        return fnmatchcase(wanted.row, pattern)
    return fnmatchcase(wanted.fields.get(name.strip(), "").casefold(), value.strip().casefold())
