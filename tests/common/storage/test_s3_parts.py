"""Large objects in parts, on both S3 servers: whole, checked part by part, never over another, nothing left behind."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.proxy import make_authority, proxy
from fixtures.s3 import S3Server
from reelmill_common.errors import ClipExists, StoreUnavailable
from reelmill_common.storage.s3 import S3Store
from reelmill_common.storage.s3_parts import PartUpload

LIMIT_MB = 5
PART = LIMIT_MB << 20
BODY = b"".join(number.to_bytes(4, "big") * (1 << 18) for number in range(11))
"""11 MiB: two whole parts and a rest, no two MiB alike."""
KEY = "night/long.mp4"


@pytest.fixture(params=["nanio", pytest.param("seaweed", marks=pytest.mark.services)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    found: S3Server = request.getfixturevalue(f"{request.param}_server")
    found.let_in(monkeypatch)
    return dataclasses.replace(found, bucket=found.make_bucket())


@pytest.fixture
def store(server: S3Server) -> S3Store:
    return S3Store(server.bucket, "", server.settings(s3_parts_above_mb=LIMIT_MB), attempts=2)


@pytest.fixture
def damaged(server: S3Server, tmp_path: Path) -> Iterator[S3Store]:
    """A store behind TLS whose terminator changes a byte of the last part: there no signature covers the body."""
    authority = make_authority(tmp_path / "authority")
    swap = {(10).to_bytes(4, "big") * 8: (10).to_bytes(4, "big") * 7 + b"\0\0\0\x0b"}
    with proxy(int(server.endpoint.rpartition(":")[2]), tls=authority.server, swap=swap) as front:
        settings = server.settings(
            s3_endpoint=f"https://127.0.0.1:{front.port}",
            s3_ca_bundle=str(authority.bundle),
            s3_parts_above_mb=LIMIT_MB,
        )
        yield S3Store(server.bucket, "", settings, attempts=1)


def uploads(server: S3Server) -> list[dict[str, Any]]:
    """Return what was begun and neither completed nor given up."""
    found: list[dict[str, Any]] = server.client().list_multipart_uploads(Bucket=server.bucket).get("Uploads", [])
    return found


def upload(store: S3Store, server: S3Server) -> PartUpload:
    return PartUpload(client=store._client(), bucket=server.bucket, name=KEY, findings=store._found(), part_bytes=PART)


def test_a_large_object_arrives_whole_with_its_headers_and_our_hash(store: S3Store, server: S3Server) -> None:
    stored = store.put(KEY, BODY, content_type="video/mp4")

    head = server.client().head_object(Bucket=server.bucket, Key=KEY)
    assert store.get(KEY) == BODY
    assert head["ETag"].endswith('-3"')  # S3's mark of an object that came in three parts
    assert head["ContentType"] == "video/mp4"
    assert head["Metadata"] == {"sha256": stored.sha256} == {"sha256": hashlib.sha256(BODY).hexdigest()}
    assert uploads(server) == []


def test_a_large_object_replaces_nothing_and_the_same_again_is_a_success(store: S3Store, server: S3Server) -> None:
    store.put(KEY, BODY, content_type="video/mp4")

    store.put(KEY, BODY, content_type="video/mp4")
    with pytest.raises(ClipExists):
        store.put(KEY, BODY[::-1], content_type="video/mp4")

    assert store.get(KEY) == BODY
    assert uploads(server) == []


def test_a_large_replacement_is_asked_for_by_name(store: S3Store) -> None:
    store.put(KEY, BODY, content_type="video/mp4")

    store.put(KEY, BODY[::-1], content_type="video/mp4", replace=True)

    assert store.get(KEY) == BODY[::-1]


def test_who_comes_second_between_the_look_and_the_completion_loses(
    store: S3Store, server: S3Server, request: pytest.FixtureRequest
) -> None:
    if "nanio" in request.node.callspec.id:
        pytest.skip("nanio 0.1.7 honours no condition: there the look before is all there is")
    server.client().put_object(Bucket=server.bucket, Key=KEY, Body=b"first")

    taken = upload(store, server).send(io.BytesIO(BODY), {}, only_if_absent=True)

    assert not taken
    assert store.get(KEY) == b"first"
    assert uploads(server) == []


def test_what_breaks_off_leaves_neither_an_object_nor_parts(store: S3Store, server: S3Server) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        upload(store, server).send(Broken(BODY), {}, only_if_absent=False)

    assert store.head(KEY) is None
    assert uploads(server) == []


def test_a_part_that_is_damaged_on_the_way_is_not_stored_and_is_worth_another_try(
    damaged: S3Store, server: S3Server
) -> None:
    with pytest.raises(StoreUnavailable, match=r"arrived damaged|BadDigest"):
        damaged.put(KEY, BODY, content_type="video/mp4")

    assert damaged.head(KEY) is None
    assert uploads(server) == []
