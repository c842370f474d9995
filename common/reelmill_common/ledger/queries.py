"""Queries: pages of jobs, batches and events, always in few round trips, never changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reelmill_common.jobs import JobState
from reelmill_common.ledger import views
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.records import BatchView, JobView
from reelmill_common.ledger.server import Server

CHUNK = 1000
"""Jobs looked at in one round trip."""

_IN_FLIGHT = {JobState.DISPATCHED, JobState.RUNNING, JobState.CANCEL_REQUESTED}
_RETRY = {JobState.FAILED, JobState.CANCELLED}


def jobs(server: Server, keys: Keys, ids: Sequence[str]) -> list[JobView]:
    """Return the jobs of some ids, without those that the ledger does not have."""
    found: list[JobView] = []
    for chunk in (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
        hashes = server.read([("HGETALL", keys.job(job_id)) for job_id in chunk])
        known = [(job_id, job) for job_id, job in zip(chunk, hashes, strict=True) if job]
        if not known:
            continue
        texts = server.read(
            [
                ("MGET", keys.spec(job_id), keys.error(job_id), keys.result(job_id), keys.meta(job_id))
                for job_id, _ in known
            ]
            + [("HGET", keys.batch(job["b"]), "priority") for _, job in known]
        )
        choices = _choices(server, keys, known)
        for (job_id, job), text, priority in zip(known, texts[: len(known)], texts[len(known) :], strict=True):
            found.append(views.job_view(job_id, job, priority, *text, choice=choices[job_id]))
    return found


def _choices(server: Server, keys: Keys, known: Sequence[tuple[str, Mapping[str, str]]]) -> dict[str, str | None]:
    """Return what people said of some jobs' clips, as the ledger has it."""
    ids: dict[str, list[str]] = {}
    for job_id, job in known:
        ids.setdefault(job["b"], []).append(job_id)
    answers = server.read([("HMGET", keys.choices(batch), *of_batch) for batch, of_batch in ids.items()])
    pairs = zip(ids.values(), answers, strict=True)
    return {job_id: text for of_batch, texts in pairs for job_id, text in zip(of_batch, texts, strict=True)}


def page(server: Server, keys: Keys, batch: str, states: Sequence[JobState], start: int, count: int) -> list[str]:
    """Return the ids of a page of a batch's jobs in some states (none: all), in the order of submission."""
    if count < 1:
        return []
    if not states:
        (ids,) = server.read([("LRANGE", keys.order(batch), start, start + count - 1)])
        return list(ids)
    letters = {views.LETTERS[state] for state in states}
    found: list[str] = []
    for chunk in _candidates(server, keys, batch, set(states)):
        now = server.read([("HGET", keys.job(job_id), "s") for job_id in chunk])
        found += [job_id for job_id, letter in zip(chunk, now, strict=True) if letter in letters]
        if len(found) >= start + count:
            break
    return found[start : start + count]


def _candidates(server: Server, keys: Keys, batch: str, states: set[JobState]) -> Iterator[list[str]]:
    """Yield ids among which all jobs of some states are: from an index if there is one, else the whole batch."""
    if states <= _IN_FLIGHT:
        (ids,) = server.read([("SMEMBERS", keys.flight(batch))])
        ranks = server.read([("HGET", keys.job(job_id), "n") for job_id in ids])
        yield [job_id for _, job_id in sorted(zip(map(int, ranks), ids, strict=True))]
        return
    command = ("ZRANGE", keys.retry(batch)) if states <= _RETRY else ("LRANGE", keys.order(batch))
    start = 0
    while True:
        (ids,) = server.read([(*command, start, start + CHUNK - 1)])
        if not ids:
            return
        yield ids
        start += CHUNK


def batches(server: Server, keys: Keys, names: Sequence[str]) -> list[BatchView]:
    """Return the batches of some names, without those that the ledger does not have."""
    hashes = server.read([("HGETALL", keys.batch(name)) for name in names])
    return [views.batch_view(name, batch) for name, batch in zip(names, hashes, strict=True) if batch]


def batch_names(server: Server, keys: Keys) -> list[str]:
    """Return the names of all batches, newest first."""
    (names,) = server.read([("ZREVRANGE", keys.batches, 0, -1)])
    return list(names)
