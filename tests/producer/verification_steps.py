"""Clips for the tests of verdicts: varied, signed, stored with an index of fingerprints, and changed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixtures.signers import SignerFiles
from reelmill_common.jobs import RenderSpec, job_id
from reelmill_common.provenance.batch_index import MadeIndex, make_index
from reelmill_common.provenance.claim import claim
from reelmill_common.provenance.fingerprint import Fingerprint, hashed_frames
from reelmill_common.provenance.signer import ClipSigner
from reelmill_common.recipe import ClipFacts, JobOrigin, MarkFacts, Recipe, make_manifest
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import clip_keys
from reelmill_worker.delivery.video import write_clip

FRAMES, HEIGHT, WIDTH = 17, 96, 160


@functools.cache
def clouds(seed: int) -> NDArray[np.uint8]:
    """Return the planes of a clip that is like no other: clouds of all sizes that drift."""
    dice = np.random.default_rng(seed)
    field = dice.standard_normal((2 * HEIGHT, 2 * WIDTH))
    across, down = np.fft.fftfreq(2 * WIDTH), np.fft.fftfreq(2 * HEIGHT)
    size = np.hypot(down[:, None], across[None, :])
    size[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(field) / size**1.5).real
    luma = np.clip((field - field.min()) / np.ptp(field) * 219 + 16, 16, 235).astype(np.uint8)
    frames = [np.roll(luma, (t, 2 * t), axis=(0, 1))[:HEIGHT, :WIDTH] for t in range(FRAMES)]
    return np.stack([np.concatenate([one, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)]) for one in frames])


def recipe_of(row: str) -> Recipe:
    return Recipe(
        job=JobOrigin(job_id=job_id("night", row), batch="night", row=row, attempt=1, worker="test"),
        spec=RenderSpec(prompt=f"clouds over {row}", profile="tiny", frames=FRAMES),
        model_hash="none",
        latents_sha256="ab" * 32,
    )


def fingerprint_of(seed: int) -> Fingerprint:
    planes = clouds(seed)
    return Fingerprint.of([planes[index][:HEIGHT] for index in hashed_frames(FRAMES)])


def write(path: Path, seed: int, signer: SignerFiles | None = None) -> Path:
    """Write a clip, signed or not."""
    document = recipe_of(f"{seed:04d}").document()
    write_clip(clouds(seed), path, fps=16, recipe=document)
    if signer is not None:
        claimed = claim(document, fingerprint=fingerprint_of(seed).text, version="1", made_at=0.0)
        ClipSigner(settings=Settings(**signer.settings())).sign(path, claimed)  # type: ignore[arg-type]
    return path


def store_batch(store: ClipStore, seeds: range, marks: Mapping[int, MarkFacts] | None = None) -> MadeIndex:
    """Store the manifests of clips, and the index of their fingerprints."""
    keys = []
    for seed in seeds:
        row = f"{seed:04d}"
        place = clip_keys("night", row)
        facts = ClipFacts(
            key=place.video,
            sha256="cd" * 32,
            size_bytes=1,
            latents_sha256="ab" * 32,
            marks=(marks or {}).get(seed, MarkFacts(signature="signed", fingerprint=fingerprint_of(seed).text)),
        )
        manifest = make_manifest(recipe_of(row), clip=facts, seconds={})
        store.put(place.manifest, manifest, content_type="application/json")
        keys.append(place.video)
    return make_index(keys, store, "night")
