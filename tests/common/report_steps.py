"""Steps for the tests of reports: a batch, and clips that end well."""

from __future__ import annotations

from collections.abc import Sequence

from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, Result
from reelmill_common.report import Report, gather

EVIL = "</script><img src=x onerror=alert(1)> & \"quotes\" 'single'"


def submit(ledger: Ledger, prompts: Sequence[str], *, batch: str = "night", owner: str = "ada") -> None:
    jobs = [
        RenderJob(batch=batch, row=f"r{index}", spec=RenderSpec(prompt=prompt, seed=index, profile="tiny"))
        for index, prompt in enumerate(prompts)
    ]
    ledger.batches.submit(Batch(name=batch, owner=owner), jobs)


def finish(hand: Hand, seconds: dict[str, float]) -> None:
    claimed = hand.claim()
    result = Result(
        key=f"night/{claimed.row}-12345678.mp4",
        sha256="ab" * 32,
        size_bytes=1000,
        latents_sha256="cd" * 32,
        seconds=seconds,
    )
    assert hand.ledger.attempts.finish(claimed.job_id, claimed.token, result)


def report_of(ledger: Ledger, **price: object) -> Report:
    return gather(ledger.batches.get("night"), ledger.jobs.every("night"), made_at=0.0, **price)  # type: ignore[arg-type]
