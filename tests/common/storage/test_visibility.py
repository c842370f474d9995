"""What stores of others do: show objects late, keep nothing, demand encryption, refuse a header or a way to address."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.s3 import S3Server
from fixtures.s3_front import S3Front, front_of
from reelmill_common.settings import Settings
from reelmill_common.storage.s3 import S3Store


@pytest.fixture
def front(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Front]:
    nanio_server.let_in(monkeypatch)
    with front_of(nanio_server) as front:
        yield front


def store_on(server: S3Server, front: S3Front, *, prefix: str, **changes: object) -> S3Store:
    settings = dataclasses.replace(server.settings(s3_endpoint=front.endpoint), **changes)  # type: ignore[arg-type]
    return S3Store(server.bucket, prefix, settings, attempts=2)


def test_a_store_that_shows_objects_late_passes_its_trial_and_takes_clips(
    nanio_server: S3Server, front: S3Front
) -> None:
    front.late_s = 0.5
    store = store_on(nanio_server, front, prefix="late")

    store.check()
    stored = store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert store.missing([stored]) == [stored]
    front.late_s = 0.0
    assert store.missing([stored]) == []


def test_what_is_missing_is_told_from_what_was_altered(nanio_server: S3Server, front: S3Front) -> None:
    store = store_on(nanio_server, front, prefix="missing")
    put = [store.put(f"night/{name}", name.encode(), content_type="video/mp4") for name in ("a.mp4", "b.mp4", "c.mp4")]
    store.delete("night/a.mp4")
    store.put("night/b.mp4", b"other", content_type="video/mp4", replace=True)
    store.put("night/c.mp4", b"C.mp4", content_type="video/mp4", replace=True)

    assert [item.key for item in store.missing(put)] == ["night/a.mp4"]  # b and c have as many bytes as they had


def test_an_endpoint_that_ends_in_the_bucket_is_the_server_without_it(nanio_server: S3Server, front: S3Front) -> None:
    store = store_on(nanio_server, front, prefix="r2", s3_endpoint=f"{front.endpoint}/{nanio_server.bucket}/")

    store.check()
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert str(store.place) == f"s3://{nanio_server.bucket}/r2/ at {front.endpoint}"
    assert f"/{nanio_server.bucket}/r2/night/fox.mp4" in front.sent


@pytest.mark.parametrize("source", ["AWS_REGION", "AWS_DEFAULT_REGION", "profile"])
def test_what_our_settings_leave_open_comes_from_boto3s_own_chain(
    nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    nanio_server.let_in(monkeypatch)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    if source == "profile":
        keys = (nanio_server.access_key, nanio_server.secret_key)
        text = f"[profile farm]\nregion = eu-south-9\nendpoint_url = {nanio_server.endpoint}\n"
        text += "aws_access_key_id = {}\naws_secret_access_key = {}\n".format(*keys)
        (tmp_path / "config").write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_PROFILE", "farm")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(source, "eu-south-9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nanio_server.endpoint)
    store = S3Store(nanio_server.bucket, "chain", Settings())

    store.check()
    link = store.url("night/fox.mp4")

    assert link.startswith(f"{nanio_server.endpoint}/{nanio_server.bucket}/chain/night/fox.mp4?")
    assert "%2Feu-south-9%2Fs3%2F" in link
