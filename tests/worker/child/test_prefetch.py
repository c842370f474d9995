"""The next prompt is encoded early, and workers that share a cache encode different ones."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.bench import Bench
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger.records import Upcoming
from reelmill_worker.child.prefetch import Prefetcher

FOX = RenderSpec(prompt="a red fox", seed=5, profile="tiny", frames=5)


@pytest.mark.parametrize(
    ("workers", "shared", "prepared"),
    [
        pytest.param(1, False, [0, 1], id="alone: what comes next"),
        pytest.param(2, False, [], id="one of two, nothing shared: a guess is not worth it"),
        pytest.param(0, False, [0, 1], id="not yet seen as ready"),
    ],
)
def test_who_is_alone_prepares_what_comes_next(workers: int, shared: bool, prepared: list[int]) -> None:
    assert shares("gpu0@a", workers=workers, shared=shared) == prepared


def test_workers_that_share_prepare_different_jobs(bench: Bench) -> None:
    names = [f"gpu{index}@host" for index in range(40)]

    shares_of = {tuple(shares(name, workers=4, shared=True)) for name in names}

    assert shares_of == {(0, 4), (1, 5), (2, 6), (3, 7)}


def shares(worker: str, *, workers: int, shared: bool) -> list[int]:
    done: list[RenderSpec] = []
    specs = [dataclasses.replace(FOX, seed=seed) for seed in range(8)]
    prefetcher = Prefetcher(
        worker=worker,
        shared=shared,
        upcoming=lambda _share: Upcoming(workers=workers, specs=specs),
        prepare=done.append,
    )
    prefetcher.once()
    return [spec.seed for spec in done]


def test_the_ledger_tells_what_comes_next_and_changes_nothing(bench: Bench) -> None:
    for name, priority in (("calm", 2), ("urgent", 8)):
        jobs = [RenderJob(batch=name, row=f"r{seed}", spec=dataclasses.replace(FOX, seed=seed)) for seed in range(2)]
        bench.ledger.batches.submit(Batch(name=name, priority=priority), jobs)
        bench.ledger.dispatch.pump("tiny")

    found = bench.ledger.dispatch.upcoming("tiny")

    assert found.workers == 1
    assert [spec.seed for spec in found.specs] == [0, 1, 0, 1]
    assert bench.ledger.dispatch.upcoming("fastwan-qad-fp8").specs == []
    assert bench.ledger.dispatch.upcoming("tiny") == found


def test_the_next_job_is_asked_for_once_a_render_and_when_the_gpu_is_busy(bench: Bench) -> None:
    asked: list[str] = []
    runner = dataclasses.replace(bench.job_runner(), prefetch=lambda: asked.append("now"))
    ((job_id, generation),) = bench.submit()

    runner.run(job_id, generation)

    assert asked == ["now"]
