"""Callers: what they may see, and what is answered as if it were not there."""

from __future__ import annotations

import pytest

from reelmill_common.access import Principal, Role
from reelmill_common.errors import NotAllowed, NotFound
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.web.callers import Caller
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.console import Console


def caller(settings: Settings, role: Role, owner: str | None) -> Caller:
    console = Console(settings=settings, is_open=False, connection=FarmConnection(settings))
    return Caller(principal=Principal(name="it", role=role, owner=owner), console=console)


@pytest.fixture
def job(client: Reelmill) -> str:
    """The id of a job of the owner `them`."""
    jobs = [RenderJob(batch="theirs", row="fox", spec=RenderSpec(prompt="a fox", profile="tiny"))]
    client.submit_jobs(Batch(name="theirs", owner="them"), jobs)
    return jobs[0].job_id


def test_what_another_owner_has_is_refused_as_what_is_not_there(settings: Settings, job: str) -> None:
    me = caller(settings, Role.SUBMITTER, "me")

    for ask in (
        lambda: me.batch("theirs"),
        lambda: me.steered_batch("theirs"),
        lambda: me.job("theirs", "fox"),
        lambda: me.job_of_id(job),
        lambda: me.steered_job("theirs", job),
    ):
        with pytest.raises(NotFound) as refused:
            ask()
        assert "them" not in str(refused.value).replace("theirs", "")
    assert me.seen_batches() == []


def test_a_job_is_of_the_batch_that_the_path_names(settings: Settings, client: Reelmill, job: str) -> None:
    client.submit_many(["an owl"], batch="mine")
    boss = caller(settings, Role.OPERATOR, None)

    assert boss.job("theirs", job).job_id == job
    with pytest.raises(NotFound):
        boss.job("mine", job)


def test_a_viewer_sees_and_does_not_steer(settings: Settings, job: str) -> None:
    eyes = caller(settings, Role.VIEWER, None)

    assert eyes.batch("theirs").owner == "them"
    with pytest.raises(NotAllowed):
        eyes.steered_batch("theirs")
    with pytest.raises(NotAllowed):
        eyes.require_operator("steering workers")
