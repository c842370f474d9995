"""Video items: a job's state and stage as OpenAI's clients read them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelmill_common.jobs import DELIVERY_STAGES, RENDER_STAGES, JobState, RenderSpec
from reelmill_common.ledger import JobView
from reelmill_producer.web.video_items import VideoItem, video_item

JOB = JobView(
    job_id="0",
    batch="videos-20261129",
    row="v-1",
    state=JobState.RUNNING,
    spec=RenderSpec(prompt="a fox", profile="tiny"),
    priority=5,
    generation=1,
    attempts=1,
    submitted_at=1764400000.5,
    finished_at=1764400009.5,
)


@pytest.mark.parametrize("state", JobState)
def test_every_state_is_one_that_clients_know(state: JobState) -> None:
    item = VideoItem.model_validate(video_item(replace(JOB, state=state)))

    assert item.status in ("queued", "in_progress", "completed", "failed")
    assert (item.status == "completed") == (state is JobState.SUCCEEDED) == (item.completed_at is not None)
    assert (item.error is not None) == (state in (JobState.FAILED, JobState.CANCELLED))


def test_progress_only_grows_and_ends_at_a_hundred() -> None:
    stages = ["", *RENDER_STAGES, *DELIVERY_STAGES]

    values = [video_item(replace(JOB, stage=stage))["progress"] for stage in stages]

    assert values == sorted(set(values))
    assert 0 == values[0] < values[-1] < 100
    assert video_item(replace(JOB, state=JobState.SUCCEEDED))["progress"] == 100
