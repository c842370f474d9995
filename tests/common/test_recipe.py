from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from reelmill_common.errors import InvalidDocument
from reelmill_common.jobs import RenderSpec
from reelmill_common.recipe import (
    ClipFacts,
    JobOrigin,
    Recipe,
    is_leftover,
    make_manifest,
    read_manifest,
    read_recipe,
    versions,
)

RECIPE = Recipe(
    job=JobOrigin(job_id="1f0a", batch="night", row="fox", attempt=1, worker="cpu0@a"),
    spec=RenderSpec(prompt="a fox", profile="tiny"),
    model_hash="ab12",
    versions=versions(),
    encoder={"codec": "libx264", "crf": 18},
    latents_sha256="cd" * 32,
)
CLIP = ClipFacts(key="night/fox.mp4", sha256="0f" * 32, size_bytes=12345, latents_sha256="cd" * 32)


def test_the_manifest_is_the_recipe_with_the_file_it_became() -> None:
    manifest = make_manifest(RECIPE, clip=CLIP, seconds={"denoise": 2.5}, gpu_s=2.5, metadata={"concept": "animal"})

    document = json.loads(manifest)
    assert {key: document[key] for key in RECIPE.document()} == RECIPE.document()
    assert document["schema_version"] == 1
    assert (document["clip"], document["metadata"], document["energy_j"]) == (asdict(CLIP), {"concept": "animal"}, None)


def test_what_is_not_known_is_not_in_the_manifest() -> None:
    document = json.loads(make_manifest(RECIPE, clip=CLIP, seconds={}))

    assert not {"plan", "gpu_s", "energy_j", "metadata", "submitted_at"} & document.keys()


def test_what_a_worker_writes_is_what_a_producer_reads() -> None:
    manifest = make_manifest(RECIPE, clip=CLIP, seconds={"mux": 0.5}, gpu_s=2.5, energy_j=700.0, submitted_s=1.5)

    found = read_manifest(manifest)

    assert read_recipe(RECIPE.document(), "a tag") == RECIPE
    assert found.document() == json.loads(manifest)
    assert (found.spec, found.clip, found.seconds, found.energy_j) == (RECIPE.spec, CLIP, {"mux": 0.5}, 700.0)


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert read_recipe(RECIPE.document() | {"weather": "rain"}, "a tag") == RECIPE


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"clip": {"key": "x"}}, "clip.sha256", id="a clip without a hash"),
        pytest.param({"schema_version": 2}, "schema_version", id="another meaning"),
        pytest.param({"spec": {"prompt": "a fox", "frames": 82}}, "spec", id="a clip that cannot be rendered"),
        pytest.param({"job": []}, "job", id="no job"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused_with_the_field(change: dict[str, Any], why: str) -> None:
    document = json.loads(make_manifest(RECIPE, clip=CLIP, seconds={}))

    with pytest.raises(InvalidDocument, match=f"a manifest is not one of ours: {why}"):
        read_manifest(json.dumps(document | change).encode())


def test_a_manifest_belongs_to_one_life_of_a_job() -> None:
    manifest = make_manifest(RECIPE, clip=CLIP, seconds={}, submitted_s=1.5)
    other = make_manifest(replace(RECIPE, job=replace(RECIPE.job, job_id="2")), clip=CLIP, seconds={}, submitted_s=1.5)

    assert is_leftover(manifest, job_id="1f0a", submitted_s=1.5)
    assert not is_leftover(manifest, job_id="1f0a", submitted_s=1.6)
    assert not is_leftover(other, job_id="1f0a", submitted_s=1.5)
