"""Worker classes on a real farm: pinned clips go to the workers that have the class, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.farm import Farm, specs
from reelmill_common.broker import ClassesFirst, make_app, pump
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.worker_classes import bits_class, classes_of, gpu_class, lanes_of


def submit(farm: Farm, batch: str, count: int, *, worker_class: str = "", priority: int = 5) -> list[str]:
    jobs = [RenderJob(batch=batch, row=f"{number:03d}", spec=spec) for number, spec in enumerate(specs(count))]
    farm.ledger.submit(Batch(name=batch, worker_class=worker_class, priority=priority, owner=batch), jobs)
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

    workers = {batch: {job.worker for job in farm.ledger.jobs(batch)} for batch in ("any", "pinned", "urgent")}
    assert workers["pinned"] == workers["urgent"] == {studio.node}
    assert plain.node in workers["any"]
    view = farm.worker(studio.node)
    assert view is not None
    assert view.lanes == ("tiny@studio", "tiny@fast", "tiny")
    assert farm.ledger.batch("pinned").counts[JobState.SUCCEEDED] == 12


def test_queues_of_classes_come_first_and_take_turns() -> None:
    order = ClassesFirst()
    order.update({"f.tiny", "f.tiny@a", "f.tiny@b"})

    first = order.consume(3)
    order.rotate("f.tiny@a")
    order.rotate("f.tiny")

    assert first == ["f.tiny@a", "f.tiny@b", "f.tiny"]
    assert order.consume(3) == ["f.tiny@b", "f.tiny@a", "f.tiny"]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA RTX A6000", "a6000"),
        ("NVIDIA L40S", "l40s"),
        ("Quadro", ""),
    ],
)
def test_a_card_has_a_short_name(name: str, short: str) -> None:
    assert gpu_class(name) == short


def test_a_worker_has_its_labels_its_card_its_architecture_and_its_bits() -> None:
    info = {
        "plan": {"gpu": "NVIDIA H100 80GB HBM3", "device": "cuda"},
        "versions": {"torch": "2.13"},
        "gpu_arch": "sm90",
    }

    classes = classes_of(info, ["studio"])

    assert classes == ["studio", "h100", "sm90", bits_class(info)]
    assert lanes_of("tiny", classes)[-1] == "tiny"


def test_another_kernel_is_another_class_of_bits() -> None:
    plan = {"gpu": "NVIDIA H100 80GB HBM3", "attention": "sdpa"}

    assert bits_class({"plan": plan}) != bits_class({"plan": plan | {"attention": "sage"}})
    assert bits_class({"plan": plan | {"reasons": ["why"]}}) == bits_class({"plan": plan})


def test_a_renderer_without_a_model_has_no_class_but_its_labels() -> None:
    assert classes_of({"renderer": "fixed:1"}, ["studio"]) == ["studio"]
