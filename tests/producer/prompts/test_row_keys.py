"""Keys of rows without an id: distinct within a submit."""

from __future__ import annotations

import pytest

from reelmill_common.errors import JobConflict
from reelmill_common.jobs import RenderJob, RenderSpec
from reelmill_producer.prompts.row_keys import distinct, unnamed_job


def spec(prompt: str) -> RenderSpec:
    return RenderSpec(prompt=prompt, profile="tiny")


def test_of_two_contents_with_one_name_the_second_gets_its_other_key() -> None:
    fox, same_name = unnamed_job("sdk", spec("a fox")), unnamed_job("sdk", spec("the fox"))

    jobs = distinct([fox, same_name, fox])

    assert [job.row for job in jobs] == ["fox-s1024", same_name.others[0]]


def test_an_id_goes_before_a_name_and_has_one_content() -> None:
    named = RenderJob(batch="sdk", row="fox-s1024", spec=spec("an owl"))
    fox = unnamed_job("sdk", spec("a fox"))

    assert [job.row for job in distinct([fox, named])] == [fox.others[0], "fox-s1024"]
    with pytest.raises(JobConflict, match="'fox-s1024' is given twice with different content"):
        distinct([named, RenderJob(batch="sdk", row="fox-s1024", spec=spec("a hare"))])
