"""Indexes of fingerprints: written from manifests, read back, and refused when they are not ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from producer.verification_steps import fingerprint_of, store_batch
from reelmill_common.errors import InvalidDocument
from reelmill_common.provenance.batch_index import CLIP_BYTES, read_index, write_index
from reelmill_common.recipe import MarkFacts
from reelmill_common.storage.folder import FolderStore


def test_an_index_holds_the_fingerprints_that_manifests_have(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    marks = {1: MarkFacts(signature="off"), 2: MarkFacts(signature="unsigned", fingerprint="not base64")}

    made = store_batch(store, range(4), marks)
    index = read_index(store.get(made.key))

    assert made.counts == {"signed": 2, "off": 1, "unsigned": 1}
    assert made.fingerprints == len(index) == 2
    assert index.hashes == fingerprint_of(0).content + fingerprint_of(3).content
    assert [index.key(place)[:10] for place in range(2)] == ["night/0000", "night/0003"]
    assert made.signatures[index.key(0)] == "signed"


def test_making_an_index_again_makes_the_same(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = store.get(store_batch(store, range(2)).key)
    (tmp_path / "night").rename(tmp_path / "before")

    assert store.get(store_batch(store, range(2)).key) == first


GOOD = write_index(os.urandom(3 * CLIP_BYTES), ["a/1.mp4", "a/2.mp4", "a/3.mp4"], {"batch": "a"})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="something else"),
        pytest.param(GOOD[:40], id="cut in the header"),
        pytest.param(GOOD[:500], id="cut in the hashes"),
        pytest.param(GOOD[:6] + b"\xff\xff\xff\xff" + GOOD[10:], id="a header of four gigabytes"),
        pytest.param(GOOD[:-20] + b"x" * 20, id="damaged keys"),
        pytest.param(write_index(os.urandom(3 * CLIP_BYTES), ["a/1.mp4"], {}), id="fewer keys than clips"),
    ],
)
def test_what_is_no_index_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidDocument):
        read_index(content)
