"""The content of clips, whole and in parts, from a folder and from a bucket."""

from __future__ import annotations

import pytest

from fixtures.hand import Hand
from fixtures.visitor import Visitor

CONTENT = b"MP4 of fox"


@pytest.fixture
def clip(console: Visitor, hand: Hand) -> str:
    """The path of a finished clip whose content is `CONTENT`."""
    console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}]})
    hand.finish(hand.claim())
    return "batches/night/clips/fox"


def test_a_clip_and_its_poster_are_served(console: Visitor, clip: str) -> None:
    whole, poster = console("GET", clip), console("GET", f"{clip}/poster")

    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, CONTENT, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    assert (poster.status, poster.body, poster.headers["content-type"]) == (200, b"JPEG", "image/jpeg")
    assert whole.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "body", "shown"),
    [
        ("bytes=0-2", 206, b"MP4", "bytes 0-2/10"),
        ("bytes=7-", 206, b"fox", "bytes 7-9/10"),
        ("bytes=-3", 206, b"fox", "bytes 7-9/10"),
        ("bytes=4-99", 206, b"of fox", "bytes 4-9/10"),
        ("bytes=-99", 206, CONTENT, "bytes 0-9/10"),
        ("bytes=0-1,4-5", 200, CONTENT, None),
        ("bytes=5-2", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
        ("bytes=-", 200, CONTENT, None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
    ],
)
def test_a_part_is_served(
    console: Visitor, clip: str, asked: str, status: int, body: bytes | None, shown: str | None
) -> None:
    answer = console("GET", clip, headers={"Range": asked})

    assert (answer.status, answer.headers.get("content-range")) == (status, shown)
    assert body is None or answer.body == body


def test_what_a_browser_has_already_is_not_sent_again(console: Visitor, clip: str) -> None:
    tag = console("GET", clip).headers["etag"]

    same = console("GET", clip, headers={"If-None-Match": tag})
    other = console("GET", clip, headers={"Range": "bytes=0-2", "If-Range": '"other"'})

    assert (same.status, same.body) == (304, b"")
    assert (other.status, other.body) == (200, CONTENT)


def test_a_clip_that_is_not_there_is_a_problem(console: Visitor, clip: str, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": [{"id": "owl", "prompt": "an owl"}]})
    lost = hand.ledger.jobs.page("night")[0].result
    assert lost is not None
    from reelmill_common.storage import open_store  # noqa: PLC0415 - one test

    open_store(hand.settings).delete(lost.key)

    assert [console("GET", path).status for path in ("batches/night/clips/owl", clip)] == [404, 404]


@pytest.mark.parametrize(
    "row", ["..", "%2e%2e%2f%2e%2e", "..%2f..%2ffarm.json", "fox%00", "fox%2f..%2fowl", "%2fetc%2fpasswd"]
)
def test_no_path_leaves_the_clips(console: Visitor, clip: str, row: str) -> None:
    answer = console("GET", f"/api/v1/batches/night/clips/{row}")

    assert answer.status in (404, 405)
