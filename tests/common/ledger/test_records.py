from __future__ import annotations

import pytest

from reelmill_common.jobs import JobState
from reelmill_common.ledger.records import outcome_of


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        ([], ""),
        ([JobState.SUCCEEDED, JobState.QUEUED], ""),
        ([JobState.SUCCEEDED], "succeeded"),
        ([JobState.SUCCEEDED, JobState.CANCELLED], "cancelled"),
        ([JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED], "failed"),
        ([JobState.FAILED, JobState.CANCEL_REQUESTED], "cancelling"),
    ],
)
def test_the_outcome_of_a_batch_is_the_worst_state_of_its_jobs_once_all_have_ended(
    states: list[JobState], outcome: str
) -> None:
    assert outcome_of(dict.fromkeys(states, 1)) == outcome
