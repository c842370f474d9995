"""Who signs: files that fit each other, and a message for each way in which they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fixtures.signers import signer_files
from reelmill_common.errors import InvalidSettings
from reelmill_common.provenance.identity import expires_at, is_wanted, load
from reelmill_common.settings import Settings


def test_a_certificate_and_its_key_are_a_signer(tmp_path: Path) -> None:
    files = signer_files(tmp_path, days=10)

    found = load(Settings(**files.settings()))  # type: ignore[arg-type]

    assert (found.algorithm, found.name) == ("es256", "Reelmill farm test, signer for trials")
    assert found.expires_at == expires_at(str(files.certificate))
    assert abs(found.expires_at - (datetime.now(UTC) + timedelta(days=10)).timestamp()) < 60


def test_a_signer_never_shows_its_key(tmp_path: Path) -> None:
    files = signer_files(tmp_path)

    shown = repr(load(Settings(**files.settings())))  # type: ignore[arg-type]

    assert "signer for trials" in shown
    assert files.key.read_text().splitlines()[1] not in shown


def test_a_key_with_a_password_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    files = signer_files(tmp_path)
    key = load_pem_private_key(files.key.read_bytes(), password=None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    files.key.write_bytes(locked)

    with pytest.raises(InvalidSettings, match="without a password") as caught:
        load(Settings(**files.settings()))  # type: ignore[arg-type]

    assert locked.splitlines()[1].decode() not in str(caught.value)


def test_a_certificate_without_a_key_is_refused(tmp_path: Path) -> None:
    files = signer_files(tmp_path)

    with pytest.raises(InvalidSettings, match="REELMILL_PROVENANCE_KEY"):
        load(Settings(provenance_certificate=str(files.certificate)))


def test_a_hook_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    files = signer_files(tmp_path)

    with pytest.raises(InvalidSettings, match="cannot be loaded"):
        load(Settings(provenance_certificate=str(files.certificate), provenance_signer="no.such:sign"))


@pytest.mark.parametrize(
    ("days_ago", "why"), [pytest.param(3, "expired", id="over"), pytest.param(-3, "valid from", id="not yet")]
)
def test_a_signer_does_not_sign_outside_its_time(tmp_path: Path, days_ago: int, why: str) -> None:
    files = signer_files(tmp_path, days=1, now=datetime.now(UTC) - timedelta(days=days_ago))

    with pytest.raises(InvalidSettings, match=why):
        load(Settings(**files.settings())).check_time()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provenance", "certificate", "wanted"),
    [("prefer", "", False), ("prefer", "c.pem", True), ("require", "", True), ("off", "c.pem", False)],
)
def test_clips_are_signed_where_a_certificate_is_set_or_signing_is_required(
    provenance: str, certificate: str, *, wanted: bool
) -> None:
    settings = Settings(provenance=provenance, provenance_certificate=certificate)  # type: ignore[arg-type]

    assert is_wanted(settings) is wanted
