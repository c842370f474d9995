"""One message, one attempt: what a job runner does with a job, and what it tells the ledger when there is no clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from fixtures.bench import NODE, Bench
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_worker.child.renderer import FixedDurationRenderer, OnStage, TestPicture


class Scripted(FixedDurationRenderer):
    """A renderer that does something of the test's at the second step, and whose canary may be dead."""

    def __init__(self, act: Any, *, canary: Exception | None = None) -> None:
        super().__init__(seconds=0.01)
        self._act, self._canary = act, canary
        self.stages: list[str] = []

    def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
        def staged(stage: str) -> None:
            on_stage(stage)
            self.stages.append(stage)
            if stage == "denoise 2/3":
                self._act()

        return super().render(spec, staged)

    def canary(self) -> None:
        if self._canary:
            raise self._canary

    def describe(self) -> Mapping[str, Any]:
        return {"model_hash": "none"}


def raiser(error: BaseException) -> Any:
    def act() -> None:
        raise error

    return act


def test_a_message_becomes_a_stored_clip(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()

    answer = bench.job_runner().run(job_id, generation)
    view = wait_for(lambda: bench.ends(job_id), what="the clip")

    assert answer["outcome"] == "rendered"
    assert view.state is JobState.SUCCEEDED
    assert view.result is not None
    assert bench.store.head(view.result.key) is not None


def test_a_stale_message_renders_nothing(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    renderer = Scripted(lambda: None)
    runner = bench.job_runner(renderer)

    answer = runner.run(job_id, generation - 1)

    assert answer == {"outcome": "refused: stale"}
    assert renderer.stages == []
    assert bench.state(job_id) is JobState.DISPATCHED


def test_the_same_message_twice_renders_once(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    renderer = Scripted(lambda: None)
    runner = bench.job_runner(renderer)

    outcomes = [runner.run(job_id, generation)["outcome"] for _ in range(2)]

    assert outcomes == ["rendered", "refused: not_dispatched"]
    assert renderer.stages.count("decode") == 1


def test_a_worker_in_quarantine_renders_nothing_and_the_job_waits_for_another(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    bench.ledger.workers.quarantine(NODE, "its clips were black")
    renderer = Scripted(lambda: None)

    answer = bench.job_runner(renderer).run(job_id, generation)

    assert answer == {"outcome": "refused: unfit"}
    assert renderer.stages == []
    assert bench.state(job_id) is JobState.QUEUED


def test_a_cancelled_clip_stops_at_the_next_step_and_only_then_is_cancelled(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    states: list[JobState] = []

    def cancel() -> None:
        bench.ledger.jobs.cancel(job_id)
        states.append(bench.state(job_id))

    renderer = Scripted(cancel)
    answer = bench.job_runner(renderer).run(job_id, generation)

    assert renderer.stages == ["encode_text", "denoise 1/3", "denoise 2/3"]
    assert answer["outcome"] == "cancelled"
    assert states == [JobState.CANCEL_REQUESTED]
    assert bench.state(job_id) is JobState.CANCELLED


def test_a_time_limit_that_ends_just_after_a_render_ends_its_attempt_too(bench: Bench) -> None:
    class Late(TestPicture):
        reads = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "seconds":
                self.reads += 1
                if self.reads > 1:  # the counters have read it: the frames are about to be handed over
                    raise SoftTimeLimitExceeded
            return super().__getattribute__(name)

    class Renderer(FixedDurationRenderer):
        def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
            super().render(spec, on_stage)
            return Late(spec)

    ((job_id, generation),) = bench.submit()

    answer = bench.job_runner(Renderer(seconds=0)).run(job_id, generation)

    assert answer["outcome"] == "timed_out"
    assert bench.state(job_id) is JobState.QUEUED
    assert not bench.leases._held


def test_the_signal_of_the_time_limit_confirms_a_cancel_that_was_asked_for(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()

    def cancel_and_interrupt() -> None:
        bench.ledger.jobs.cancel(job_id)
        raise SoftTimeLimitExceeded

    answer = bench.job_runner(Scripted(cancel_and_interrupt)).run(job_id, generation)

    assert answer["outcome"] == "cancelled"
    assert bench.state(job_id) is JobState.CANCELLED


def test_a_renderer_whose_canary_dies_after_an_error_ends_its_process(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    renderer = Scripted(raiser(RuntimeError("illegal memory access")), canary=RuntimeError("context is gone"))

    bench.job_runner(renderer).run(job_id, generation)

    assert bench.end_reasons == ["the canary failed after an error in a render: context is gone"]


def test_a_renderer_whose_canary_lives_goes_on(bench: Bench) -> None:
    first, second = bench.submit(2)
    runner = bench.job_runner(Scripted(raiser(RuntimeError("a hiccup"))))

    runner.run(*first)
    runner.renderer = FixedDurationRenderer(seconds=0.01)
    runner.run(*second)

    assert bench.end_reasons == []
    assert wait_for(lambda: bench.ends(second[0])).state is JobState.SUCCEEDED
