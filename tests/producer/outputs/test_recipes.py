"""Recipes: read from manifests and MP4s, wherever these lie and whatever program wrote them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from fixtures.cli import program
from fixtures.s3 import free_port
from reelmill_common.errors import NotFound, StoreUnavailable
from reelmill_common.jobs import RenderSpec
from reelmill_common.profiles import TINY_NOTE
from reelmill_common.provenance.claim import Prompt, shown
from reelmill_common.recipe import ClipFacts, JobOrigin, Recipe, make_manifest
from reelmill_producer.cli.rerender import compare
from reelmill_producer.outputs.mp4_tags import read_tags
from reelmill_producer.outputs.recipes import find_recipe, read_recipe
from reelmill_worker.delivery.video import write_clip

SPEC = RenderSpec(prompt='A fox, "狐" & snow', seed=42, profile="tiny", frames=5)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        job=JobOrigin(job_id="1f0a", batch="night", row="fox", attempt=1, worker="gpu0@a"),
        spec=SPEC,
        model_hash="ab" * 32,
        plan={"device": "cuda", "gpu": "NVIDIA H100", "linears": "fp8", "attention": "sage2-fp8-sm90", "reasons": []},
        versions={"torch": "2.13.0"},
        latents_sha256="cd" * 32,
    )


@pytest.fixture
def clip(tmp_path: Path, recipe: Recipe) -> Path:
    path = tmp_path / "clip.mp4"
    write_clip(np.full((5, 120, 128), 90, np.uint8), path, fps=16, recipe=recipe.document())
    return path


@pytest.fixture
def manifest(tmp_path: Path, recipe: Recipe) -> Path:
    path = tmp_path / "clip.json"
    clip = ClipFacts(key="night/fox.mp4", sha256="ef" * 32, size_bytes=1000, latents_sha256="cd" * 32)
    path.write_bytes(make_manifest(recipe, clip=clip, seconds={"denoise": 1.1}))
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The folder of the test over HTTP."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_mp4_tells_all_that_its_manifest_does(clip: Path, manifest: Path, recipe: Recipe) -> None:
    from_clip, from_manifest = find_recipe(str(clip), None), find_recipe(str(manifest), None)

    assert from_clip.recipe == from_manifest.recipe == recipe
    assert compare(from_clip, from_manifest) == {}


@pytest.mark.parametrize("name", ["clip.mp4", "clip.json"])
def test_a_link_is_read_like_a_file(served: str, clip: Path, manifest: Path, name: str) -> None:
    assert find_recipe(f"{served}/{name}", None).recipe.spec == SPEC


def test_a_link_that_leads_nowhere_is_told_without_its_signature(served: str) -> None:
    gone = f"http://127.0.0.1:{free_port()}/clip.mp4?X-Amz-Signature=secret"

    for link in (gone, f"{served}/none.mp4?X-Amz-Signature=secret", "https://[::1?X-Amz-Signature=secret"):
        with pytest.raises(StoreUnavailable, match="cannot be fetched") as caught:
            find_recipe(link, None)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("prompt", ["hash", "omit"])
def test_a_file_without_its_prompt_says_where_the_prompt_is(recipe: Recipe, prompt: Prompt) -> None:
    content = json.dumps(shown(recipe.document(), prompt)).encode()

    with pytest.raises(NotFound, match=r"REELMILL_PROVENANCE_PROMPT\); name the clip as BATCH/ROW"):
        read_recipe(content, "it")


def test_what_differs_is_named(clip: Path, recipe: Recipe) -> None:
    other = {**recipe.document(), "model_hash": "00" * 32, "versions": {"torch": "2.14.0"}}

    found = compare(find_recipe(str(clip), None), read_recipe(json.dumps(other).encode(), "other"))

    assert found == {"model_hash": ("ab" * 32, "00" * 32), "version of torch": ("2.13.0", "2.14.0")}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(b'{"spec": 3}', id="another JSON"),
        pytest.param(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00", id="an MP4 without an index"),
        pytest.param(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\xff\xff\xff\xffmoov", id="an index of 4 GB"),
        pytest.param(
            b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x01moov" + b"\xff" * 8, id="an index of 2**64 bytes"
        ),
        pytest.param(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x08moov", id="an empty index"),
    ],
)
def test_what_holds_no_recipe_is_told_so(content: bytes) -> None:
    with pytest.raises(NotFound, match="recipe"):
        read_recipe(content, "it")


def test_a_cut_or_changed_clip_has_its_tags_or_is_refused(clip: Path) -> None:
    whole = clip.read_bytes()[:6000]
    generator = np.random.default_rng(7)
    ends: Counter[str] = Counter()

    for _ in range(400):
        spoilt = bytearray(whole[: generator.integers(1, len(whole))])
        for place in generator.integers(0, len(spoilt), 8):
            spoilt[place] = generator.integers(0, 256)
        try:
            ends["read" if "comment" in read_tags(bytes(spoilt)) else "other tags"] += 1
        except NotFound:
            ends["refused"] += 1

    assert ends["refused"] > 100
    assert ends["read"] > 10


def test_the_command_needs_no_farm_for_a_file(clip: Path, tmp_path: Path) -> None:
    ran = program("show", str(clip), env={"REELMILL_STATE_DIR": str(tmp_path / "none")})

    assert ran.status == 0, ran.err
    assert 'prompt:       A fox, "狐" & snow' in ran.out
    assert "gpu:          NVIDIA H100" in ran.out
    assert f"note:         {TINY_NOTE}" in ran.out
