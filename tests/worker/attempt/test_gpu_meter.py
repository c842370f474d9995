"""The meter: seconds always, energy only where a card tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from fixtures.bench import Bench
from fixtures.valkey import wait_for
from reelmill_common.errors import BadOutput
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import Spent
from reelmill_worker.attempt.gpu_meter import Meter
from reelmill_worker.child.renderer import FixedDurationRenderer, OnStage, TestPicture


class Failing(FixedDurationRenderer):
    def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
        super().render(spec, on_stage)
        raise BadOutput("all frames are black")


@pytest.mark.parametrize(
    ("counter", "drawn"),
    [
        pytest.param((100.0, 1000.5), 900.5, id="a card that counts"),
        pytest.param((None, None), None, id="no card"),
        pytest.param((None, 1000.0), None, id="a card that began to answer in between"),
        pytest.param((100.0, 100.0), None, id="a counter that stands still"),
        pytest.param((100.0, 3.0), None, id="a driver that came up anew"),
    ],
)
def test_energy_is_what_the_counter_grew_by_or_unknown(counter: Sequence[float | None], drawn: float | None) -> None:
    readings = [Future[float | None](), Future[float | None]()]
    answers = iter(readings)
    meter = Meter(lambda: next(answers))
    shown = meter.stop(gpu_s=2.5)  # and the card has not answered yet

    for reading, answer in zip(readings, counter, strict=True):
        reading.set_result(answer)

    assert shown.spent() == Spent(gpu_s=2.5, energy_j=drawn)


def test_a_card_that_takes_its_time_holds_up_no_render(bench: Bench) -> None:
    answer = threading.Event()
    runner = bench.job_runner(FixedDurationRenderer(seconds=0.02))
    runner.joules = lambda: 1.0 if answer.wait(60) else None
    messages = bench.submit(2)

    outcomes = [runner.run(*message)["outcome"] for message in messages]
    answer.set()

    assert outcomes == ["rendered", "rendered"]
    wait_for(lambda: all(bench.ends(job_id) for job_id, _ in messages), what="both clips")


def test_a_clip_and_its_manifest_say_what_it_took(bench: Bench) -> None:
    readings = iter([100.0, 350.0])
    runner = bench.job_runner(FixedDurationRenderer(seconds=0.02))
    runner.joules = lambda: next(readings)
    ((job_id, generation),) = bench.submit()

    runner.run(job_id, generation)
    view = wait_for(lambda: bench.ends(job_id), what="the clip")

    assert view.result is not None
    manifest = json.loads(bench.store.get(view.result.key.removesuffix(".mp4") + ".json"))
    assert view.result.energy_j == manifest["energy_j"] == 250.0
    assert view.result.gpu_s == manifest["gpu_s"] == pytest.approx(view.result.seconds["denoise"], abs=1e-3)
    account = bench.ledger.batches.get("night").account
    assert (account.clips, account.size_bytes, account.energy_j) == (1, view.result.size_bytes, 250.0)


def test_a_failed_render_is_wasted(bench: Bench) -> None:
    readings = iter([100.0, 130.0])
    runner = bench.job_runner(Failing(seconds=0.02))  # the account counts whole milliseconds
    runner.joules = lambda: next(readings)
    ((job_id, generation),) = bench.submit()

    runner.run(job_id, generation)

    account = bench.ledger.batches.get("night").account
    assert (account.clips, account.gpu_s, account.wasted_energy_j) == (0, 0.0, 30.0)
    assert account.wasted_gpu_s > 0
