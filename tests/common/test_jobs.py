from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.limits import MAX_SEED
from reelmill_common.jobs import (
    Batch,
    JobState,
    RenderJob,
    RenderSpec,
    check_name,
    job_id,
    spec_from_mapping,
)

# -- specs


def test_a_prompt_alone_makes_the_profiles_default_clip() -> None:
    spec = RenderSpec(prompt="a fox in the snow")

    assert (spec.width, spec.height, spec.frames, spec.fps) == (832, 480, 81, 16)
    assert (spec.seed, spec.sampler, spec.decoder, spec.profile) == (1024, "dmd3", "tiny", "fastwan-qad-fp8")


@given(
    prompt=st.text(min_size=1, max_size=200),
    seed=st.integers(0, MAX_SEED),
    frames=st.sampled_from((0, 5, 17, 81)),
    sampler=st.sampled_from(("dmd3", "unipc3")),
)
def test_a_spec_survives_its_json(prompt: str, seed: int, frames: int, sampler: Any) -> None:
    try:
        spec = RenderSpec(prompt=prompt, seed=seed, frames=frames, sampler=sampler, profile="tiny")
    except InvalidJob:
        return  # nothing that can be rendered

    assert RenderSpec.from_json(spec.to_json()) == spec
    assert RenderSpec.from_json(spec.to_json()).to_json() == spec.to_json()


def test_json_has_one_form_for_one_spec() -> None:
    one = RenderSpec(prompt="a fox", seed=7, width=832, height=480)
    two = RenderSpec(height=480, seed=7, width=832, prompt=" a  fox ")

    assert one.to_json() == two.to_json()
    assert list(json.loads(one.to_json())) == sorted(json.loads(one.to_json()))
    assert one.digest == two.digest
    assert len(one.digest) == 16


def test_whatever_decides_the_pixels_decides_the_digest() -> None:
    specs = [
        RenderSpec(prompt="a fox", profile="tiny"),
        RenderSpec(prompt="a fox.", profile="tiny"),
        RenderSpec(prompt="a fox", profile="tiny", seed=1),
        RenderSpec(prompt="a fox", profile="tiny", frames=17),
        RenderSpec(prompt="a fox", profile="tiny", width=80, height=128),
        RenderSpec(prompt="a fox", profile="tiny", fps=8),
        RenderSpec(prompt="a fox", profile="tiny", sampler="unipc3"),
        RenderSpec(prompt="a fox", profile="tiny", decoder="wan"),
        RenderSpec(prompt="a fox"),
    ]

    assert len({spec.digest for spec in specs}) == len(specs)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("not json", "a job is one JSON object, got 'not json'"),
        ("[1]", "a job is an object with a prompt, got list"),
        ('{"seed":1}', "prompt is empty"),
        ('{"prompt":"a fox","camera":"dolly"}', "unknown field camera; known are prompt, seed"),
        ('{"prompt":"a fox","seed":1.5}', "seed='1.5' is not a whole number"),
        ('{"prompt":"a fox","seed":true}', "seed='True' is not a whole number"),
        ('{"prompt":"a fox","seed":"0x10"}', "seed='0x10' is not a whole number"),
        ('{"prompt":["a fox"]}', "prompt=.*a fox.* is not text"),
    ],
)
def test_json_that_is_no_job_is_refused(text: str, advice: str) -> None:
    with pytest.raises(InvalidJob, match=advice):
        RenderSpec.from_json(text)


def test_a_row_of_text_becomes_a_spec() -> None:
    row = {
        "prompt": "a fox",
        "seed": " 7 ",
        "frames": "",
        "sampler": None,
        "profile": "tiny",
        "width": "128",
        "height": "80",
    }

    assert spec_from_mapping(row) == RenderSpec(prompt="a fox", seed=7, width=128, height=80, profile="tiny")


@given(
    st.dictionaries(
        st.sampled_from(("prompt", "seed", "frames", "width", "height", "fps", "sampler", "profile", "other", "")),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.lists(st.integers())),
    )
)
def test_any_mapping_is_a_spec_or_a_clear_refusal(value: dict[str, Any]) -> None:
    try:
        spec = spec_from_mapping(value)
    except InvalidJob:
        return
    assert RenderSpec.from_json(spec.to_json()) == spec


# -- jobs and batches


def test_an_id_follows_from_batch_and_row_alone() -> None:
    one = RenderJob(batch="night", row="fox", spec=RenderSpec(prompt="a fox"))
    two = RenderJob(batch="night", row="fox", spec=RenderSpec(prompt="a badger"))

    assert one.job_id == two.job_id == job_id("night", "fox")
    assert uuid.UUID(one.job_id).version == 5


def test_an_id_is_the_same_in_every_version() -> None:
    # Written down: an id that changes would render every clip of every batch again.
    assert job_id("night", "fox") == "b375009f-8d98-5fb4-8749-d0e2e8f7aae5"


def test_names_do_not_run_into_each_other() -> None:
    assert job_id("night", "a-b") != job_id("night-a", "b")


def test_a_job_waits_in_the_lane_of_its_profile() -> None:
    assert RenderJob(batch="night", row="fox", spec=RenderSpec(prompt="a fox", profile="tiny")).lane == "tiny"


@pytest.mark.parametrize(
    "name", ["", "Night", "night 1", "../etc", "a..b", "-a", ".a", "a/b", "ä", "x" * 65, "a\n", "a:b"]
)
def test_a_name_that_is_not_safe_everywhere_is_refused_with_a_safe_one(name: str) -> None:
    with pytest.raises(InvalidJob, match="is not usable; use 1 to 64 of a-z 0-9") as caught:
        RenderJob(batch="night", row=name, spec=RenderSpec(prompt="a fox"))

    check_name("batch", str(caught.value).rpartition("for example '")[2].removesuffix("')"))


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"name": "Night"}, "batch 'Night' is not usable"),
        ({"priority": 10}, "priority=10 is out of range; use 0 to 9"),
        ({"priority": -1}, "priority=-1 is out of range; use 0 to 9"),
        ({"weight": 0}, "weight=0 is out of range; use 1 to 100"),
        ({"weight": 1.5}, "weight=1.5 is a float; use a whole number"),
        ({"priority": 5.0}, "priority=5.0 is a float; use a whole number"),
        ({"max_in_flight": True}, "max_in_flight=True is a bool; use a whole number"),
        ({"max_in_flight": -1}, "max_in_flight=-1 is out of range"),
        ({"owner": "x" * 65}, "owner has 65 characters; use at most 64"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(change: dict[str, Any], advice: str) -> None:
    with pytest.raises(InvalidJob, match=advice):
        Batch(**({"name": "night"} | change))


def test_three_states_are_final() -> None:
    assert {state for state in JobState if state.is_final} == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
