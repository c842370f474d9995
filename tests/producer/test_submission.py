"""Submission: a checked file becomes a batch, is added to one, or becomes a schedule."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from reelmill_common.calendar.cron import Cron
from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import Batch
from reelmill_common.ledger import PolicyChange
from reelmill_common.schedules import Schedule
from reelmill_producer.client import Reelmill
from reelmill_producer.prompts.files import PromptFile, prompts_of
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.submission import add_schedule, submit_file

NOTHING = PolicyChange()


def submitted(client: Reelmill, policy: Batch, text: bytes = b"a fox\n") -> int:
    with prompts_of(io.BytesIO(text), "night.txt", "txt", defaults={"profile": "tiny"}) as prompts:
        prompts.checked()
        return submit_file(client, policy, NOTHING, prompts).added


def test_a_file_is_added_to_its_batch_whose_window_changes(client: Reelmill) -> None:
    window = "22:00-07:00 Europe/Vienna"

    assert submitted(client, Batch(name="night", owner="studio")) == 1
    assert submitted(client, Batch(name="night", window=window), b"a fox\nan owl\n") == 1
    assert (client.batch("night").total, client.batch("night").window) == (2, window)


@pytest.mark.parametrize("change", [{"owner": "other"}, {"worker_class": "h100"}])
def test_owner_and_class_of_a_batch_cannot_change(client: Reelmill, change: dict[str, str]) -> None:
    submitted(client, Batch(name="night", owner="studio"))

    with pytest.raises(InvalidJob, match="cannot be changed"):
        submitted(client, Batch(name="night", **change), b"an owl\n")


def test_a_schedule_keeps_times_that_count_from_its_runs(client: Reelmill) -> None:
    new = Schedule(name="nightly", cron=Cron.parse("0 22 * * *", "Europe/Vienna"), policy={})

    def add(prompts: PromptFile, **policy: str) -> object:
        return add_schedule(client, new, prompts, PolicyOptions(**policy), replace=True).schedule.policy

    with prompts_of(io.BytesIO(b"a fox\n"), "night.txt", "txt", defaults={"profile": "tiny"}) as prompts:
        prompts.checked()
        assert add(prompts, expires="8h") == {"expires_at": "8h"}
        assert add(prompts, finish_by="9h") == {"finish_by": "9h"}
        with pytest.raises(InvalidPromptFile, match="nothing was scheduled"):
            add(prompts, start_after=f"{datetime.now(UTC):%Y}-12-24T07:00")
