"""The content of clips, whole and in parts, from a folder and from a bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest

from fixtures.hand import Hand
from fixtures.s3 import S3Server
from fixtures.visitor import Visitor
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

CONTENT = b"MP4 of fox"


@pytest.fixture(params=["nanio", pytest.param("seaweed", marks=pytest.mark.services)])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A real S3 server, which checks signatures and their expiry."""
    found: S3Server = request.getfixturevalue(f"{request.param}_server")
    found.let_in(monkeypatch)
    return found


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


def test_a_clip_is_verified_for_those_who_may_see_it(
    make_console: Callable[..., Visitor], hand: Hand, ledger: Ledger
) -> None:
    console = make_console(is_open=False)
    ann, bob = (replace(console, token=ledger.tokens.make(name, Role.SUBMITTER, name)) for name in ("ann", "bob"))
    viewer = replace(console, token=ledger.tokens.make("eve", Role.VIEWER, "ann"))
    ann("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}, {"id": "owl", "prompt": "an owl"}]})
    hand.finish(hand.claim())
    path = "batches/night/clips/fox/verdict"

    found = viewer("GET", path)

    assert (found.status, found.json["verdict"], found.json["as_stored"]) == (200, "not ours", True)
    assert [who("GET", path).status for who in (ann, bob, replace(console, token=""))] == [200, 404, 401]
    assert ann("GET", "batches/night/clips/owl/verdict").code == "not_found"


def test_a_clip_in_a_bucket_comes_through_the_console_or_by_a_link_whole_and_in_parts(
    make_console: Callable[..., Visitor], bucket: S3Server, settings: Settings, ledger: Ledger
) -> None:
    there = bucket.settings(settings, bucket=bucket.make_bucket(), prefix="farm")
    hand = Hand(settings=there, ledger=ledger)
    hand.ready()
    console = make_console(is_open=False, store_url=there.store_url, s3_endpoint=there.s3_endpoint)
    reader = replace(console, token=ledger.tokens.make("ann", Role.SUBMITTER, ""))
    reader("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}]})
    hand.finish(hand.claim())
    path = "batches/night/clips/fox"

    parts = {asked: reader("GET", path, headers={"Range": asked}) for asked in ("bytes=0-2", "bytes=-3", "bytes=10-")}
    sent = reader("GET", path, redirect="true")
    link = sent.headers["location"]
    whole, part = httpx2.get(link), httpx2.get(link, headers={"Range": "bytes=4-5"})
    fourth = reader("GET", path, headers={"Range": "bytes=3-3", "If-Range": parts["bytes=0-2"].headers["etag"]})

    assert reader("GET", path).body == CONTENT
    assert [(answer.status, answer.body[:3]) for answer in parts.values()][:2] == [(206, b"MP4"), (206, b"fox")]
    assert parts["bytes=10-"].status == 416
    assert (fourth.status, fourth.body, fourth.headers["content-range"]) == (206, b" ", "bytes 3-3/10")
    assert reader("GET", f"{path}/poster").body == b"JPEG"
    assert (sent.status, sent.body) == (307, b"")
    assert link.startswith(f"{bucket.endpoint}/")
    assert reader.token not in link
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, CONTENT, "video/mp4")
    assert (part.status_code, part.content) == (206, b"of")
    assert replace(console, token="")("GET", path, redirect="true").status == 401
