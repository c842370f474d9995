"""Verdicts on files: as they were stored, changed by a byte, stripped, made smaller, or not ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from fixtures.signers import SignerFiles, signer_files
from producer.verification_steps import fingerprint_of, store_batch, write
from reelmill_common.errors import InvalidSettings
from reelmill_common.provenance.batch_index import write_index
from reelmill_common.storage import ClipStore
from reelmill_common.storage.folder import FolderStore
from reelmill_producer.verification import sandbox
from reelmill_producer.verification.manifest_box import C2PA_BOX
from reelmill_producer.verification.reader import signature
from reelmill_producer.verification.verdicts import FileVerdict as Verdict
from reelmill_producer.verification.verdicts import Verification, judge, read_anchors, verify


@pytest.fixture
def signer(tmp_path: Path) -> SignerFiles:
    return signer_files(tmp_path / "signer")


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    store = FolderStore(tmp_path / "store")
    store_batch(store, range(5))
    return store


@pytest.fixture
def verdict_on(tmp_path: Path, signer: SignerFiles, store: ClipStore) -> Callable[..., Verification]:
    def judged(content: bytes, *, trusted: bool = True) -> Verification:
        (tmp_path / "found").write_bytes(content)
        return verify(tmp_path / "found", anchors=signer.authority.read_text() if trusted else "", store=store)

    return judged


@pytest.fixture
def signed(tmp_path: Path, signer: SignerFiles) -> bytes:
    return write(tmp_path / "clip.mp4", 3, signer).read_bytes()


@pytest.fixture
def trusted(signer: SignerFiles) -> str:
    return signer.authority.read_text()


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def manifest_box(content: bytes) -> tuple[int, int]:
    """Return where the box of the C2PA manifest begins and ends."""
    start = content.index(C2PA_BOX) - 8
    return start, start + int.from_bytes(content[start : start + 4], "big")


def recoded(path: Path, *, width: int, height: int, crf: int = 32) -> bytes:
    """Return a video as a platform makes it: encoded again, another size, without metadata."""
    target = path.with_name("copy.mp4")
    with av.open(str(path)) as source, av.open(str(target), "w") as copy:
        stream = copy.add_stream("libx264", rate=16, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in source.decode(video=0):
            copy.mux(stream.encode(frame.reformat(width=width, height=height)))
        copy.mux(stream.encode(None))
    return target.read_bytes()


def test_a_clip_as_it_was_stored_is_signed(verdict_on: Callable[..., Verification], signed: bytes) -> None:
    found = verdict_on(signed)

    assert found.verdict is Verdict.SIGNED
    assert found.searched == 0  # the farm is not asked
    assert found.signature is not None
    assert found.signature["signer"] == "Reelmill farm test, signer for trials"
    assert found.signature["recipe"]["spec"]["prompt"] == "clouds over 0003"


def test_a_signer_whom_nobody_vouches_for_is_unknown(verdict_on: Callable[..., Verification], signed: bytes) -> None:
    found = verdict_on(signed, trusted=False)

    assert found.verdict is Verdict.UNKNOWN_SIGNER
    assert found.reason == "signingCredential.untrusted"
    assert found.recognised is not None
    assert found.recognised.key.startswith("night/0003-")


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda content: len(content) - 900, id="the video"),
        pytest.param(lambda content: content.index(b"trainedAlgorithmicMedia"), id="the manifest"),
        pytest.param(lambda content: content.index(b"Reelmill farm test, signer"), id="the certificate"),
        pytest.param(lambda content: manifest_box(content)[1] - 40, id="the room behind the signature"),
    ],
)
def test_one_flipped_byte_is_told(signed: bytes, place: Callable[[bytes], int], tmp_path: Path, trusted: str) -> None:
    (tmp_path / "found").write_bytes(flipped(signed, place(signed)))

    assert judge(sandbox.read(tmp_path / "found", "signature", anchors=trusted))[0] is Verdict.ALTERED


def test_a_manifest_on_another_clip_is_told(
    verdict_on: Callable[..., Verification], signed: bytes, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.mp4", 4).read_bytes()
    start, end = manifest_box(signed)

    found = verdict_on(other[:start] + signed[start:end] + other[start:])

    assert found.verdict is Verdict.ALTERED


def test_a_copy_without_marks_is_recognised(
    verdict_on: Callable[..., Verification], signed: bytes, tmp_path: Path
) -> None:
    found = verdict_on(recoded(tmp_path / "clip.mp4", width=80, height=48))

    assert found.verdict is Verdict.RECOGNISED
    assert found.searched == 5
    assert found.recognised is not None
    assert found.recognised.manifest is not None
    assert (found.recognised.manifest.job.batch, found.recognised.manifest.job.row) == ("night", "0003")


def test_another_video_is_not_ours(verdict_on: Callable[..., Verification], tmp_path: Path) -> None:
    found = verdict_on(write(tmp_path / "foreign.mp4", 77).read_bytes())

    assert (found.verdict, found.reason, found.recognised, found.searched) == (Verdict.NOT_OURS, "", None, 5)


@pytest.mark.parametrize("key", ["../../../etc/passwd", "/etc/passwd", "night/", "night/\0", "night/0003.mp4"])
def test_an_index_with_a_foreign_key_gives_a_verdict_without_a_recipe(
    store: ClipStore, tmp_path: Path, key: str
) -> None:
    content = write_index(fingerprint_of(77).content, [key], {})
    store.put("fingerprints/foreign.idx", content, content_type="application/octet-stream")

    found = verify(write(tmp_path / "copy.mp4", 77), anchors="", store=store)

    assert found.verdict is Verdict.RECOGNISED
    assert found.recognised is not None
    assert (found.recognised.key, found.recognised.manifest) == (key, None)


def manifest_of(content: bytes) -> bytes:
    start, end = manifest_box(content)
    return content[start:end]


def far_off(content: bytes) -> bytes:
    start, end = manifest_box(content)
    size = 2 << 20
    filled = size.to_bytes(4, "big") + b"free" + bytes(size - 8)
    return content[:start] + filled + content[start : start + 300] + bytes(end - start - 300) + content[end:]


HOSTILE = [
    pytest.param(lambda content: b"", Verdict.NOT_OURS, id="empty"),
    pytest.param(lambda content: os.urandom(50_000), Verdict.NOT_OURS, id="noise"),
    pytest.param(lambda content: content[: len(content) // 2], Verdict.ALTERED, id="cut in the middle"),
    pytest.param(lambda content: content[: content.index(C2PA_BOX) + 500], Verdict.ALTERED, id="cut in the manifest"),
    pytest.param(lambda content: resized(content, b"\x7f\xff\xff\xff"), Verdict.ALTERED, id="a box of two gigabytes"),
    pytest.param(lambda content: resized(content, b"\0\0\0\1"), Verdict.ALTERED, id="a box of a nonsensical size"),
    pytest.param(lambda content: resized(content, b"\0\0\0\4"), Verdict.ALTERED, id="a box smaller than its head"),
    pytest.param(lambda content: flipped(content, 7), Verdict.ALTERED, id="no type of file"),
    pytest.param(far_off, Verdict.ALTERED, id="a damaged manifest behind megabytes"),
    pytest.param(lambda content: content + manifest_of(content), Verdict.ALTERED, id="its manifest twice"),
]


def resized(content: bytes, size: bytes) -> bytes:
    start, _ = manifest_box(content)
    return content[:start] + size + content[start + 4 :]


@pytest.mark.parametrize(("change", "verdict"), HOSTILE)
def test_a_hostile_file_ends_in_a_verdict(
    verdict_on: Callable[..., Verification], signed: bytes, change: Callable[[bytes], bytes], verdict: Verdict
) -> None:
    assert verdict_on(change(signed)).verdict is verdict


def boxes(content: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where each box of a manifest begins, those in others too."""
    while start + 8 <= end:
        size = int.from_bytes(content[start : start + 4], "big")
        yield start
        if content[start + 4 : start + 8] == b"jumb":
            yield from boxes(content, start + 8, start + size)
        start += size


def test_a_clip_that_is_cut_at_any_box_of_its_manifest_or_has_one_of_another_size_is_altered(
    signed: bytes, tmp_path: Path, trusted: str
) -> None:
    start, end = manifest_box(signed)
    places = list(boxes(signed, signed.index(b"jumb") - 4, end))
    path = tmp_path / "found"

    def judged(content: bytes) -> Verdict:
        path.write_bytes(content)
        return judge(signature(path, trusted))[0]

    cuts = {place: judged(signed[:place]) for place in (start + 24, *places, end)}
    sizes = {
        (place, size): judged(signed[:place] + size.to_bytes(4, "big") + signed[place + 4 :])
        for place in places
        for size in (0, 1, 7, 8)
    }

    assert len(places) > 20
    assert {place: found for place, found in cuts.items() if found is not Verdict.ALTERED} == {}
    assert {place: found for place, found in sizes.items() if found is not Verdict.ALTERED} == {}


def test_a_manifest_of_which_its_reader_dies_is_altered(
    verdict_on: Callable[..., Verification], signed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MOST_S", 0.001)

    found = verdict_on(signed)

    assert found.verdict is Verdict.ALTERED
    assert "it took more than" in found.reason


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"state": "trusted", "failures": []}, Verdict.SIGNED),
        ({"state": "valid", "failures": ["signingCredential.untrusted"]}, Verdict.UNKNOWN_SIGNER),
        ({"state": "invalid", "failures": ["signingCredential.expired"]}, Verdict.UNKNOWN_SIGNER),
        (
            {"state": "invalid", "failures": ["signingCredential.untrusted", "claimSignature.mismatch"]},
            Verdict.ALTERED,
        ),
        ({"state": "trusted", "failures": ["assertion.dataHash.mismatch"]}, Verdict.ALTERED),
        ({"state": "invalid", "failures": []}, Verdict.ALTERED),
        ({"state": "broken", "error": "x"}, Verdict.ALTERED),
        ({"error": "its reader ended with signal 9"}, Verdict.NOT_OURS),
    ],
)
def test_what_a_reader_says_is_judged(said: dict[str, object], verdict: Verdict) -> None:
    assert judge(said)[0] is verdict


def test_a_trust_list_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.pem").write_text("nobody")

    with pytest.raises(InvalidSettings, match="holds no certificate"):
        read_anchors(str(tmp_path / "list.pem"))
    assert read_anchors("") == ""
