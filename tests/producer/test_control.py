"""Targets of the SDK: batches, jobs and workers."""

from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.ledger import ClipChoice, ClipMark
from reelmill_producer.client import Reelmill
from reelmill_producer.control import names_job, names_worker


def test_status_takes_a_batch_or_a_job(client: Reelmill) -> None:
    job_id = client.submit("a fox", batch="sdk")

    assert client.status("sdk") == client.batch("sdk")
    assert client.status(job_id) == client.job(job_id)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("night", "batch"),
        ("night/fox-s1", "job"),
        ("00000000-0000-5000-8000-000000000000", "job"),
        ("gpu0@render-3", "worker"),
        ("night/gpu0@render-3", "job"),
    ],
)
def test_a_target_is_known_by_its_form(target: str, kind: str) -> None:
    found = "worker" if names_worker(target) else "job" if names_job(target) else "batch"

    assert found == kind


def test_a_row_that_is_not_there_is_refused_with_the_nearest(client: Reelmill) -> None:
    client.submit_many([{"id": "lighthouse", "prompt": "a fox"}], batch="sdk")

    with pytest.raises(NotFound, match="has no row 'lighthuose'; did you mean 'lighthouse'"):
        client.status("sdk/lighthuose")


def test_a_clip_is_marked_by_its_row_or_its_id(client: Reelmill) -> None:
    job_id = client.submit("a fox", batch="sdk", row="fox")

    marked = client.choose("sdk/fox", "favourite", "the fox blinks")
    again = client.choose(job_id, None)

    assert marked.choice == ClipChoice(mark=ClipMark.FAVOURITE, note="the fox blinks")
    assert (again.choice, client.job(job_id).choice) == (None, None)


def test_only_jobs_are_marked_and_only_with_a_mark_that_there_is(client: Reelmill) -> None:
    client.submit("a fox", batch="sdk", row="fox")

    with pytest.raises(InvalidJob, match="mark 'nice' is unknown; known are favourite, reject"):
        client.choose("sdk/fox", "nice")
    with pytest.raises(NotFound, match="name a job as BATCH/ROW"):
        client.choose("sdk", "favourite")
