"""Clips: their links, and downloads that are verified."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from fixtures.hand import Hand
from reelmill_common.errors import NotFound, StoreError
from reelmill_producer.client import Reelmill


def test_clips_come_with_links_that_open(client: Reelmill, hand: Hand) -> None:
    client.submit_many(["a fox", "an owl"], batch="sdk")
    claimed = hand.claim()
    hand.finish(claimed)

    (clip,) = client.clips("sdk")

    with urlopen(clip.url) as opened:
        assert opened.read() == b"MP4 of " + claimed.row.encode()
    assert client.store.head(clip.poster_key) is not None
    assert client.store.head(clip.manifest_key) is not None


def test_a_job_without_a_clip_says_so(client: Reelmill) -> None:
    job = client.job(client.submit("a fox", batch="sdk"))

    with pytest.raises(NotFound, match="is queued and has no clip"):
        client.clip(job)


def test_a_clip_is_downloaded_as_it_was_rendered(client: Reelmill, hand: Hand, tmp_path: Path) -> None:
    client.submit_many(
        [{"id": row, "prompt": "a fox", "seed": seed} for seed, row in enumerate(["con", "b-s1", "c"])], batch="sdk"
    )
    for _ in range(3):
        hand.finish(hand.claim())
    clips = list(client.clips("sdk"))

    named, plain = clips[1].download(tmp_path), clips[0].download(tmp_path / "fox.mp4")
    client.store.put(clips[2].key, b"MP4 of C", content_type="video/mp4", replace=True)
    with pytest.raises(StoreError, match="SHA-256 differs"):
        clips[2].download(tmp_path)

    assert (named.name, named.read_bytes()) == ("b-s1.mp4", b"MP4 of b-s1")
    assert (plain, plain.read_bytes()) == (tmp_path / "fox.mp4", b"MP4 of con")
