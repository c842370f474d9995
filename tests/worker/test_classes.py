"""Worker classes on a real farm: pinned clips go to the workers that have the class, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable

from fixtures.farm import Farm, specs
from reelmill_common.broker import ClassesFirst, make_app, pump
from reelmill_common.jobs import Batch, JobState, RenderJob


def submit(farm: Farm, batch: str, count: int, *, worker_class: str = "", priority: int = 5) -> list[str]:
    jobs = [RenderJob(batch=batch, row=f"{number:03d}", spec=spec) for number, spec in enumerate(specs(count))]
    farm.ledger.batches.submit(Batch(name=batch, worker_class=worker_class, priority=priority, owner=batch), jobs)
    pump(farm.ledger, make_app(farm.settings), farm.settings, farm.settings.profile)
    return [job.job_id for job in jobs]


def test_pinned_clips_are_rendered_by_workers_of_their_class_only(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(profile="tiny", renderer="fixed:0.05")
    studio = farm.start(name="studio", worker_labels="studio,fast", ready=False)
    plain = farm.start(name="plain", ready=False)
    for worker in (studio, plain):
        farm.wait_ready(worker)
    submit(farm, "any", 12)
    submit(farm, "pinned", 12, worker_class="studio")
    submit(farm, "urgent", 1, worker_class="fast", priority=9)

    for batch in ("any", "pinned", "urgent"):
        farm.wait_done(batch)

    workers = {batch: {job.worker for job in farm.ledger.jobs.page(batch)} for batch in ("any", "pinned", "urgent")}
    assert workers["pinned"] == workers["urgent"] == {studio.node}
    assert plain.node in workers["any"]
    view = farm.worker(studio.node)
    assert view is not None
    assert view.lanes == ("tiny@studio", "tiny@fast", "tiny")
    assert farm.ledger.batches.get("pinned").counts[JobState.SUCCEEDED] == 12


def test_queues_of_classes_come_first_and_take_turns() -> None:
    order = ClassesFirst()
    order.update({"f.tiny", "f.tiny@a", "f.tiny@b"})

    first = order.consume(3)
    order.rotate("f.tiny@a")
    order.rotate("f.tiny")

    assert first == ["f.tiny@a", "f.tiny@b", "f.tiny"]
    assert order.consume(3) == ["f.tiny@b", "f.tiny@a", "f.tiny"]
