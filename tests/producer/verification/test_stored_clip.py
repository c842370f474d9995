"""Verdicts on clips in the store: as they were stored, changed there, unsigned, and where none can be given."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fixtures.signers import SignerFiles, signer_files
from producer.verification_steps import store_batch, write
from reelmill_common.errors import NotFound
from reelmill_common.ledger import Result
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore
from reelmill_common.storage.keys import clip_keys
from reelmill_producer.verification.stored_clip import verify_stored

KEY = clip_keys("night", "0003").video


@pytest.fixture
def signer(tmp_path: Path) -> SignerFiles:
    return signer_files(tmp_path / "signer")


@pytest.fixture
def settings(signer: SignerFiles) -> Settings:
    return Settings(provenance_trust=str(signer.authority))


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    store = FolderStore(tmp_path / "store")
    store_batch(store, range(5))
    return store


def put(store: ClipStore, content: bytes) -> Result:
    store.put(KEY, content, content_type="video/mp4", replace=True)
    sha256 = hashlib.sha256(content).hexdigest()
    return Result(key=KEY, sha256=sha256, size_bytes=len(content), latents_sha256="ab" * 32, seconds={})


def test_a_clip_is_signed_and_then_altered_in_the_store(
    store: ClipStore, signer: SignerFiles, settings: Settings, tmp_path: Path
) -> None:
    content = write(tmp_path / "clip.mp4", 3, signer).read_bytes()
    clip = put(store, content)

    before = verify_stored(clip, store, settings).record()
    put(store, content[:-900] + bytes([content[-900] ^ 1]) + content[-899:])
    after = verify_stored(clip, store, settings).record()

    signed = {"verdict": "signed", "reason": "", "signer": "Reelmill farm test, signer for trials", "time_stamp": ""}
    assert before == {**signed, "as_stored": True}
    assert (after["verdict"], after["as_stored"]) == ("altered", False)


def test_a_clip_that_is_not_signed_is_compared_with_its_own_fingerprint_only(
    store: ClipStore, settings: Settings, tmp_path: Path
) -> None:
    own = verify_stored(put(store, write(tmp_path / "own.mp4", 3).read_bytes()), store, settings)
    other = verify_stored(put(store, write(tmp_path / "other.mp4", 4).read_bytes()), store, settings)

    assert own.verification is not None
    assert own.verification.searched == 1
    assert [one.record()["verdict"] for one in (own, other)] == ["recognised", "not ours"]


def test_without_a_readable_trust_list_there_is_no_verdict_and_a_reason(store: ClipStore, tmp_path: Path) -> None:
    clip = put(store, write(tmp_path / "clip.mp4", 3).read_bytes())

    found = verify_stored(clip, store, Settings(provenance_trust=str(tmp_path / "gone.pem"))).record()

    assert (found["verdict"], found["as_stored"]) == (None, True)
    assert "cannot be read" in found["reason"]


def test_a_clip_that_is_gone_is_not_found(store: ClipStore, settings: Settings) -> None:
    clip = put(store, b"a clip")
    store.delete(KEY)

    with pytest.raises(NotFound):
        verify_stored(clip, store, settings)
