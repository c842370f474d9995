"""Reuse: which job has the clip of a spec already, and answering jobs that wait with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import queries, views
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.records import JobView, Result

PART_CHARS, MARK_CHARS = 3, 16
"""Hexadecimal digits of the first part of a spec's mark, and of the mark, as `lua/lib/made.lua` cuts it."""


class ClipIndex(LedgerPart):
    """The index of stored clips. `finish` writes it where the worker's settings say so; it forgets pruned jobs."""

    def made(self, specs: Sequence[RenderSpec]) -> dict[str, JobView]:
        """Return the succeeded jobs of equal specs, by the canonical text of the spec. Their clips may be gone."""
        texts = list(dict.fromkeys(spec.to_json() for spec in specs))
        if not texts:
            return {}
        marks = map(_mark, texts)
        ids = self._server.read([("HGET", self._keys.made(mark[:PART_CHARS]), mark[PART_CHARS:]) for mark in marks])
        jobs = queries.jobs(self._server, self._keys, list(dict.fromkeys(filter(None, ids))))
        known = {job.spec.to_json(): job for job in jobs if job.state is JobState.SUCCEEDED and job.result is not None}
        return {text: known[text] for text in texts if text in known}

    def answer(self, answers: Mapping[str, JobView]) -> int:
        """Answer jobs that wait, by their id, with the clips of others; return how many were.

        Those that run already, or have ended, stay as they are.
        """
        calls = [(job_id, *_answer(view.job_id, view.result)) for job_id, view in answers.items() if view.result]
        return sum(self._server.run_many("reuse", calls)) if calls else 0


def _answer(source: str, found: Result) -> tuple[str, str, str]:
    made_by = found.reused_from or source
    # It took no GPU time: a sum over clips must not count that of the first one twice.
    result = replace(found, seconds={}, gpu_s=0.0, energy_j=None, reused_from=made_by)
    return views.result_json(result), result.key, made_by


def _mark(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:MARK_CHARS]
