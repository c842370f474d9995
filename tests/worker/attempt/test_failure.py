"""The end of an attempt that made no clip: tried again only where that can help, and in the words of the error."""

from __future__ import annotations

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from structlog.testing import capture_logs

from fixtures.bench import Bench
from reelmill_common.errors import BadOutput, PromptTooLong, ReelmillError
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_worker.child.renderer import FixedDurationRenderer, OnStage, TestPicture


class Failing(FixedDurationRenderer):
    """A renderer that fails while it denoises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(seconds=0.01)
        self._error = error

    def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
        on_stage("denoise 2/3")
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        pytest.param(PromptTooLong("513 tokens"), "prompt_too_long", JobState.FAILED, id="the job's own fault"),
        pytest.param(BadOutput("frames are black"), "bad_output", JobState.QUEUED, id="a failed output check"),
        pytest.param(MemoryError("3 GiB"), "out_of_memory", JobState.QUEUED, id="too little memory"),
        pytest.param(RuntimeError("CUDA error"), "worker_bug", JobState.QUEUED, id="nobody knows whose"),
        pytest.param(SoftTimeLimitExceeded(), "timed_out", JobState.QUEUED, id="the time limit"),
    ],
)
def test_a_failed_render_is_tried_again_only_where_that_can_help(
    bench: Bench, error: Exception, code: str, state: JobState
) -> None:
    ((job_id, generation),) = bench.submit()

    with capture_logs() as logs:
        answer = bench.job_runner(Failing(error)).run(job_id, generation)

    view = bench.ledger.jobs.get(job_id)
    assert answer["outcome"] == code
    assert view.state is state
    assert view.error is not None
    assert view.error["code"] == code
    assert [entry["code"] for entry in logs if entry["event"] == "clip.failed"] == [code]


def test_errors_of_ours_keep_their_words(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()
    error: ReelmillError = BadOutput("frames 3 to 80 are equal; the clip is frozen")

    bench.job_runner(Failing(error)).run(job_id, generation)

    assert bench.ledger.jobs.get(job_id).error == {"code": "bad_output", "message": str(error)}
