"""Manifests found by bytes: in videos whole and damaged, in pictures, and not in files that merely hold a clip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fixtures.signers import signer_files
from producer.verification_steps import write
from reelmill_producer.verification.manifest_box import C2PA_STORE, has_manifest, manifest_box, media_type


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    return write(tmp_path / "clip.mp4", 3, signer_files(tmp_path / "signer"))


def free(size: int) -> bytes:
    return (size + 8).to_bytes(4, "big") + b"free" + bytes(size)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content, id="as it is"),
        pytest.param(lambda content: b"\0\0\0\x20ftyq" + content[8:], id="of no kind that is known"),
        pytest.param(lambda content: content[:32] + free(3 << 20) + content[32:], id="behind megabytes"),
        pytest.param(lambda content: b"\0\0\0\x21" + content[4:], id="behind a box of a wrong size"),
        pytest.param(lambda content: b"\0\0\0\0" + content[4:], id="inside the last box"),
        pytest.param(
            lambda content: content[:32] + b"\0\0\0\1free" + (1 << 62).to_bytes(8, "big") + content[32:], id="far off"
        ),
    ],
)
def test_the_manifest_of_a_video_is_found_wherever_it_is(signed: Path, change: Callable[[bytes], bytes]) -> None:
    signed.write_bytes(change(signed.read_bytes()))

    assert has_manifest(signed)


def test_the_content_of_the_box_is_read_up_to_a_limit(signed: Path) -> None:
    content = signed.read_bytes()
    start = content.index(b"\0\0\0\0manifest\0")

    assert manifest_box(signed, 20) == content[start : start + 20]
    assert b"c2pa.signature" in manifest_box(signed, 1 << 20)
    assert b"moov" not in manifest_box(signed, 1 << 20)


def test_a_picture_has_a_manifest_by_the_type_of_its_store(tmp_path: Path) -> None:
    picture = tmp_path / "shot.png"
    Image.new("L", (8, 8)).save(picture)
    before = has_manifest(picture)
    picture.write_bytes(picture.read_bytes() + bytes((1 << 20) - 80) + C2PA_STORE)  # across two pieces of reading

    assert media_type(picture) == "image/png"
    assert (before, has_manifest(picture)) == (False, True)


def test_a_file_without_a_manifest_and_an_archive_with_a_clip_have_none(signed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.write(signed)
    (tmp_path / "empty").touch()

    found = [write(tmp_path / "plain.mp4", 4), tmp_path / "clips.zip", tmp_path / "empty"]

    assert [has_manifest(path) for path in found] == [False, False, False]
    assert [manifest_box(path, 100) for path in found] == [b"", b"", b""]
