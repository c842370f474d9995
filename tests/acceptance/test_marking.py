"""A farm's clips are marked: real workers sign them, an index is made, and a copy without marks is recognised."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import c2pa
import pytest

from fixtures.c2pa_reader import SecondReading
from fixtures.cli import program
from fixtures.disk import fill, small_disk
from fixtures.farm import Farm, specs
from fixtures.s3 import S3Server
from fixtures.signers import SignerFiles, signer_files
from fixtures.valkey import wait_for
from producer.verification_steps import write
from reelmill_common.report.write import make
from reelmill_common.storage import open_store

pytestmark = pytest.mark.services

CLIPS = int(os.environ.get("MARKED_CLIPS", "6"))
"""Clips of a batch: `MARKED_CLIPS=200` for the figures in docs/lab-notes.md."""
SecondReader = Callable[[Sequence[Path]], list[SecondReading]]


def states(video: bytes, signer: SignerFiles, folder: Path) -> list[str]:
    """Return what C2PA's reader makes of a clip: with the farm's authority on the trust list, and without."""
    (folder / "clip.mp4").write_bytes(video)
    found = []
    for trust in ({"trust": {"trust_anchors": signer.authority.read_text()}}, {}):
        settings: dict[str, Any] = {"verify": {"verify_trust": True}, **trust}
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(str(folder / "clip.mp4"), context=context) as reader,
        ):
            found.append(str(reader.get_validation_state()))
    return found


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_every_clip_of_a_farm_is_signed_counted_and_indexed(
    place: str,
    make_farm: Callable[..., Farm],
    nanio_server: S3Server,
    second_reader: SecondReader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer = signer_files(tmp_path / "signer")
    changes: dict[str, object] = {"renderer": "fixed:0.001", "provenance": "require", **signer.settings()}
    if place == "s3":
        nanio_server.let_in(monkeypatch)
        bucket = nanio_server.make_bucket()
        changes |= {"store_url": f"s3://{bucket}/farm", "s3_endpoint": nanio_server.endpoint}
    farm = make_farm(**changes)

    farm.start()
    farm.submit("night", specs(CLIPS))
    farm.wait_done("night", timeout_s=90.0 + CLIPS)
    store = open_store(farm.settings)
    make(farm.ledger, store, "night", farm.settings)  # as the workers do within a minute
    videos = [store.get(item.key) for item in store.list("night/") if item.key.endswith(".mp4")]

    assert len(videos) == CLIPS
    assert {tuple(states(video, signer, tmp_path)) for video in videos} == {("Trusted", "Valid")}
    report = json.loads(store.get("reports/night/facts.json"))
    assert (report["marks"], report["fingerprints"]) == ({"signed": CLIPS}, CLIPS)
    assert b"AI-generated, signed" in store.get("reports/night/sheet.html")
    paths = [tmp_path / f"{number:04d}.mp4" for number in range(CLIPS)]
    for path, video in zip(paths, videos, strict=True):
        path.write_bytes(video)
    readings = second_reader(paths)
    assert [reading for reading in readings if not reading.is_valid] == []
    assert {reading.title for reading in readings} == {f"night/{seed:04d}" for seed in range(CLIPS)}


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        pytest.param(lambda content: len(content) - 900, "assertion.bmffHash.mismatch", id="the video"),
        pytest.param(lambda content: content.index(b"trainedAlgor"), "assertion.hashedURI.mismatch", id="the manifest"),
        pytest.param(lambda content: content.index(b"night/0003"), "claimSignature.mismatch", id="the claim"),
        pytest.param(lambda content: content.index(b"farm test, signer"), "claimSignature.mismatch", id="its signer"),
    ],
)
def test_a_second_reader_tells_one_flipped_byte(
    place: Callable[[bytes], int], fault: str, second_reader: SecondReader, tmp_path: Path
) -> None:
    clip = write(tmp_path / "clip.mp4", 3, signer_files(tmp_path / "signer"))
    content = bytearray(clip.read_bytes())
    content[place(bytes(content))] ^= 1
    (tmp_path / "flipped.mp4").write_bytes(content)

    sound, flipped = second_reader([clip, tmp_path / "flipped.mp4"])

    assert sound.is_valid
    assert fault in flipped.wrong


def test_a_worker_without_room_to_sign_publishes_nothing_and_goes_on_when_there_is_room(
    make_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    signer = signer_files(tmp_path / "signer")
    farm = make_farm(renderer="fixed:0.001", provenance="require", **signer.settings())
    spool = farm.settings.state_dir / "spool"
    with ExitStack() as disk:
        try:
            disk.enter_context(small_disk(spool, size_mb=1))
        except PermissionError as err:
            pytest.skip(str(err))
        worker = farm.start()
        farm.submit("first", specs(1))
        farm.wait_done("first")
        wait_for(lambda: not list((spool / worker.node).iterdir()), what="the spool to be empty")
        (first,) = [item for item in farm.store.list("first/") if item.key.endswith(".mp4")]
        ballast = fill(spool, but_bytes=first.size_bytes + 4096)  # for a clip and its poster, not for its signed copy

        job_ids = farm.submit("night", specs(1))
        wait_for(lambda: worker.events("clip.not_signed"), what="the problem")
        before = list(farm.store.list("night/"))
        ballast.unlink()
        farm.wait_done("night")

    assert before == []
    assert farm.attempts(job_ids) == 1
    farm.assert_stored_once("night", job_ids)
    (key,) = [item.key for item in farm.store.list("night/") if item.key.endswith(".mp4")]
    assert states(farm.store.get(key), signer, tmp_path) == ["Trusted", "Valid"]


def test_the_program_says_of_a_file_what_it_is(make_farm: Callable[..., Farm], tmp_path: Path) -> None:
    signer = signer_files(tmp_path / "signer")
    farm = make_farm(renderer="fixed:0.001", **signer.settings(), provenance_trust=str(signer.authority))
    farm.start()
    farm.submit("night", specs(1))
    farm.wait_done("night")
    store = open_store(farm.settings)
    (key,) = [item.key for item in store.list("night/") if item.key.endswith(".mp4")]
    (tmp_path / "found.mp4").write_bytes(store.get(key))

    done = program("verify", str(tmp_path / "found.mp4"), "--json", env=farm.settings.to_env())

    assert done.status == 0, done.err
    assert (done.json["verdict"], done.json["signature"]["title"]) == ("signed", "night/0000")
