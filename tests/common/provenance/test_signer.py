"""Signing of files: with a key of our own, by a function, with a time stamp, and what a failure leaves."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fixtures.signers import SignerFiles, signer_files
from fixtures.time_stamps import time_stamp_authority
from reelmill_common.errors import NotSigned
from reelmill_common.provenance import signer as signing
from reelmill_common.provenance.claim import claim
from reelmill_common.provenance.signer import ClipSigner
from reelmill_common.settings import Settings
from reelmill_worker.delivery.video import write_clip

RECIPE = {"job": {"batch": "night", "row": "fox"}, "spec": {"profile": "tiny", "prompt": "a fox"}, "model_hash": "none"}
CLAIM = claim(RECIPE, fingerprint="", version="1", made_at=0.0)
KEY: list[Path] = []
"""File of the key that `sign_elsewhere` signs with, as an HSM would."""


@pytest.fixture
def files(tmp_path: Path) -> SignerFiles:
    return signer_files(tmp_path / "signer")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    planes = np.random.default_rng(0).integers(16, 235, (5, 96, 64), dtype=np.uint8)
    write_clip(planes, tmp_path / "clip.mp4", fps=16, recipe=RECIPE)
    return tmp_path / "clip.mp4"


@pytest.fixture
def silent() -> Iterator[str]:
    """URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def facts(clip: Path, files: SignerFiles) -> tuple[str, dict[str, Any]]:
    settings = {"verify": {"verify_trust": True}, "trust": {"trust_anchors": files.authority.read_text()}}
    with c2pa.Context.from_dict(settings) as context, c2pa.Reader(str(clip), context=context) as reader:
        document = json.loads(reader.json())
        return str(reader.get_validation_state()), document["manifests"][document["active_manifest"]]["signature_info"]


def sign_elsewhere(data: bytes) -> bytes:
    key = load_pem_private_key(KEY[-1].read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def refuse(_data: bytes) -> bytes:
    raise OSError("the HSM is locked")


def test_a_signed_clip_is_trusted_by_who_trusts_the_authority(files: SignerFiles, clip: Path) -> None:
    stamped = ClipSigner(settings=Settings(**files.settings())).sign(clip, CLAIM)  # type: ignore[arg-type]

    assert not stamped
    assert facts(clip, files)[0] == "Trusted"


def test_a_function_signs_for_a_key_that_is_no_file(files: SignerFiles, clip: Path) -> None:
    KEY.append(files.key)
    hook = f"{__name__}:sign_elsewhere"
    settings = Settings(provenance_certificate=str(files.certificate), provenance_signer=hook)

    ClipSigner(settings=settings).sign(clip, CLAIM)

    assert facts(clip, files)[0] == "Trusted"


def test_a_function_that_fails_leaves_the_clip_as_it_was(files: SignerFiles, clip: Path) -> None:
    before = clip.read_bytes()
    settings = Settings(provenance_certificate=str(files.certificate), provenance_signer=f"{__name__}:refuse")

    with pytest.raises(NotSigned, match="the HSM is locked"):
        ClipSigner(settings=settings).sign(clip, CLAIM)

    assert clip.read_bytes() == before


def test_a_time_stamp_is_asked_for_where_an_authority_is_set(files: SignerFiles, clip: Path, tmp_path: Path) -> None:
    with time_stamp_authority(tmp_path / "tsa") as url:
        settings = Settings(**files.settings(), provenance_timestamp=url)  # type: ignore[arg-type]
        stamped = ClipSigner(settings=settings).sign(clip, CLAIM)

    assert stamped
    assert "time" in facts(clip, files)[1]


@pytest.mark.parametrize("where", ["down", "silent"])
def test_an_authority_that_fails_costs_the_stamp_or_the_signature(
    files: SignerFiles, clip: Path, silent: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "STAMP_S", 0.3)
    url = silent if where == "silent" else "http://127.0.0.1:9"
    settings = {**files.settings(), "provenance_timestamp": url}
    before = clip.read_bytes()
    required = ClipSigner(settings=Settings(**settings, provenance_timestamp_policy="require"))  # type: ignore[arg-type]

    with pytest.raises(NotSigned, match="time"):
        required.sign(clip, CLAIM)
    left = clip.read_bytes()
    stamped = ClipSigner(settings=Settings(**settings)).sign(clip, CLAIM)  # type: ignore[arg-type]

    assert left == before
    assert not stamped
    assert facts(clip, files)[0] == "Trusted"


def test_a_full_disk_leaves_the_clip_as_it_was(files: SignerFiles, clip: Path) -> None:
    before = clip.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)  # a file that cannot grow, as on a full disk

    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(NotSigned):
            ClipSigner(settings=Settings(**files.settings())).sign(clip, CLAIM)  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert clip.read_bytes() == before
    assert [path.name for path in clip.parent.glob("*.mp4")] == ["clip.mp4"]
    assert not list(clip.parent.glob("*.signing"))
