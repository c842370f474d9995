"""Restoration: what people made (schedules, tokens, owners), read for a copy, and brought back from one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from reelmill_common.jobs import JobState, RenderSpec, job_id
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.marks import ClipChoice, ClipMark, choice_text
from reelmill_common.ledger.records import Result
from reelmill_common.ledger.views import LETTERS, result_json

CopiedKey = tuple[str, str, list[str]]
"""Name behind the farm's prefix, Redis' type, and members: of a hash field and value in turn, of a sorted set member
and score."""

JOBS_AT_ONCE = 50
_KINDS = ("string", "hash", "set", "zset", "list")
_OWNER = ("weight", "cap")
"""Fields of an owner that people set; the others follow from jobs."""
_COSTS = {
    "clips": ("clips", 1),
    "reused": ("reused", 1),
    "size_bytes": ("bytes", 1),
    "gpu_s": ("gpu", 1000),
    "energy_j": ("energy", 1000),
    "metered": ("metered", 1),
    "wasted_gpu_s": ("waste", 1000),
    "wasted_energy_j": ("waste_energy", 1000),
}
"""Fields of an account, as the ledger has them, and in which parts of their unit."""


class Restoration(LedgerPart):
    """Copies what no store has, and brings it back into a record that was lost."""

    def take_copy(self, *, turn_s: float) -> bool:
        """Take the right to copy the record; False if another process took it within so many seconds."""
        return bool(self._server.run("copy_take", turn_s))

    def record(self) -> list[CopiedKey]:
        """Return what people made, without the rows of schedules: identity, schedules, tokens, owners, accounts."""
        keys = self._keys
        identity, tokens, names, due, owners, prior = self._server.read(
            [
                ("GET", f"{keys.prefix}identity"),
                ("HGETALL", keys.token_names),
                ("SMEMBERS", keys.schedule_names),
                ("ZRANGE", keys.schedules, 0, -1, "WITHSCORES"),
                ("SMEMBERS", keys.owners),
                ("HGETALL", keys.prior_attempts),
            ]
        )
        hashes = {
            **{f"token:{digest}": ("used",) for digest in tokens.values()},
            **{f"schedule:{name}": () for name in names},
            **{f"account:{name}": () for name in owners},
        }
        found = dict(zip(hashes, self._hashes(hashes), strict=True))
        shares = zip(owners, self._hashes([f"owner:{name}" for name in owners]), strict=True)
        scored = [(str(name), str(score)) for name, score in due]
        return [
            ("identity", "string", [str(identity or "")]),
            ("token_names", "hash", _flat(tokens)),
            ("schedule_names", "set", sorted(names)),
            ("schedules", "zset", [text for pair in scored for text in pair]),
            ("owners", "set", sorted(owners)),
            (keys.prior_attempts.removeprefix(keys.prefix), "hash", _flat(prior)),
            *((name, "hash", _flat(values, without=hashes[name])) for name, values in found.items()),
            *((f"owner:{name}", "hash", _flat({f: v[f] for f in _OWNER if f in v})) for name, v in shares),
        ]

    def rows(self, record: Sequence[CopiedKey]) -> Iterator[CopiedKey]:
        """Yield the rows of the schedules of a record."""
        for name, _, members in record:
            if name.startswith("schedule:"):
                rows = f"rows:{dict(zip(members[::2], members[1::2], strict=True))['rows']}"
                (pieces,) = self._server.read([("LRANGE", f"{self._keys.prefix}{rows}", 0, -1)])
                yield (rows, "list", list(pieces))

    def put(self, key: CopiedKey) -> int:
        """Bring back one key; what is there by now stays. Returns how many of its members were not there."""
        name, kind, members = key
        if kind not in _KINDS or not members:
            return 0
        return int(self._server.run("restore_key", name, kind, *members))

    def batch(self, batch: Mapping[str, Any], jobs: Iterator[Mapping[str, Any]], archive: str) -> bool:
        """Bring back a batch that had ended, from the records of its archive; False if there is one of its name."""
        name = str(batch["name"])
        if self._server.read([("EXISTS", self._keys.batch(name))])[0]:
            return False
        place = 0
        while chunk := list(islice(jobs, JOBS_AT_ONCE)):
            texts = [text for number, job in enumerate(chunk, place + 1) for text in _job(job, number)]
            self._server.run("restore_jobs", name, *texts)
            place += len(chunk)
        return bool(self._server.run("restore_batch", name, json.dumps(_batch(batch, archive))))

    def _hashes(self, names: Sequence[str] | Mapping[str, Any]) -> list[dict[str, str]]:
        commands = [("HGETALL", f"{self._keys.prefix}{name}") for name in names]
        return self._server.read(commands) if commands else []


def _flat(values: Mapping[str, str], *, without: Sequence[str] = ()) -> list[str]:
    return [text for pair in sorted(values.items()) if pair[0] not in without for text in pair]


def _job(job: Mapping[str, Any], place: int) -> tuple[str, ...]:
    spec, result, error, choice = RenderSpec(**job["spec"]), job["result"], job["error"], job["choice"]
    fields: dict[str, object] = {
        "s": LETTERS[JobState(job["state"])],
        "b": job["batch"],
        "r": job["row"],
        "l": job["lane"] or spec.profile,
        "n": place,
        "g": int(job["generation"]),
        "a": int(job["attempts"]),
        "w": job["worker"],
        "t0": _ms(job["submitted_at"]),
        "t1": _ms(job["started_at"]),
        "t2": _ms(job["finished_at"]),
        "o": int(job["priority"]) if job["own_priority"] else None,
    }
    marked = ClipChoice(mark=ClipMark(choice["mark"]), note=choice["note"]) if choice else None
    return (
        job_id(str(job["batch"]), str(job["row"])),
        json.dumps({name: value for name, value in fields.items() if value is not None}),
        spec.to_json(),
        json.dumps(job["metadata"]) if job["metadata"] else "",
        result_json(Result(**result)) if result else "",
        json.dumps(error) if error else "",
        choice_text(marked) if marked else "",
    )


def _batch(batch: Mapping[str, Any], archive: str) -> dict[str, object]:
    account = batch["account"]
    costs = {
        f"cost:{name}": round(account[field] * parts) for field, (name, parts) in _COSTS.items() if account.get(field)
    }
    done = _ms(batch["finished_at"])
    fields: dict[str, object] = {
        "created": _ms(batch["created_at"]),
        "done": done,
        "owner": batch["owner"],
        "priority": batch["priority"],
        "weight": batch["weight"],
        "cap": batch["max_in_flight"],
        "paused": 0,
        "window": batch["window"],
        "max_failures": batch["max_failures"],
        "report": batch["report"],
        "class": batch["worker_class"],
        "source": batch["source"],
        "archived": f"{done} {archive}",
    }
    return {name: value for name, value in (fields | costs).items() if value != "" or name == "owner"}


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
