from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import pytest

from fixtures.s3 import S3Server
from fixtures.s3_front import Refusal, S3Front, front_of
from reelmill_common.errors import StoreRefused
from reelmill_common.storage import s3_probe
from reelmill_common.storage.s3 import S3Store


@pytest.fixture
def front(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Front]:
    nanio_server.let_in(monkeypatch)
    with front_of(nanio_server) as front:
        yield front


def store_on(server: S3Server, front: S3Front, *, prefix: str, **changes: object) -> S3Store:
    settings = dataclasses.replace(server.settings(s3_endpoint=front.endpoint), **changes)  # type: ignore[arg-type]
    return S3Store(server.bucket, prefix, settings, attempts=2)


def test_a_store_that_keeps_nothing_is_found_by_the_trial(
    nanio_server: S3Server, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.storage.visibility.VISIBLE_S", 0.3)
    store = store_on(nanio_server, front, prefix="void")
    monkeypatch.setattr(s3_probe.secrets, "token_hex", lambda _size: "dropped")
    front.drops = ("dropped",)

    with pytest.raises(StoreRefused, match="it reported an object as stored, and has none"):
        store.check()


def test_a_store_that_wants_no_checksum_headers_is_served_without(nanio_server: S3Server, front: S3Front) -> None:
    def as_b2_does(method: str, headers: Mapping[str, str]) -> Refusal | None:
        unknown = [
            name for name in headers if name.startswith("x-amz-checksum") or name == "x-amz-sdk-checksum-algorithm"
        ]
        return (400, "InvalidArgument", f"Unsupported header '{unknown[0]}' received") if unknown else None

    front.refuses = as_b2_does
    store = store_on(nanio_server, front, prefix="b2")

    report = store.check()
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert report.checksum_mode == "when_required"
    assert store.get("night/fox.mp4") == b"clip"


def test_a_bucket_that_demands_encryption_gets_it_with_every_put(nanio_server: S3Server, front: S3Front) -> None:
    def demand(method: str, headers: Mapping[str, str]) -> Refusal | None:
        if method != "PUT" or headers.get("x-amz-server-side-encryption") == "aws:kms":
            return None
        return 403, "AccessDenied", "User: farm is not authorized to perform: s3:PutObject with an explicit deny"

    front.refuses = demand
    plain = store_on(nanio_server, front, prefix="kms")
    store = store_on(nanio_server, front, prefix="kms", s3_sse_kms_id="alias/clips")

    with pytest.raises(StoreRefused, match=r"set REELMILL_S3_SSE .*its own words: AccessDenied.*explicit deny"):
        plain.check()
    store.check()
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")
    store.put("night/fox.json", b"{}", content_type="application/json", replace=True)

    for key in ("fox.mp4", "fox.json"):
        sent = front.sent[f"/{nanio_server.bucket}/kms/night/{key}"]
        assert sent["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/clips"
