"""Targets of the SDK: batches, jobs and workers."""

from __future__ import annotations

import pytest

from reelmill_common.errors import NotFound
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
