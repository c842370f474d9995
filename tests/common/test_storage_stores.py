"""What stores of others do: show objects late, keep nothing, demand encryption, refuse a header or a way to address."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from fixtures.s3 import S3Server
from fixtures.s3_front import S3Front, front_of
from reelmill_common.errors import StoreRefused
from reelmill_common.storage import s3_trial
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


def test_a_store_that_keeps_nothing_is_found_by_the_trial(
    nanio_server: S3Server, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.storage.visibility.VISIBLE_S", 0.3)
    store = store_on(nanio_server, front, prefix="void")
    monkeypatch.setattr(s3_trial.secrets, "token_hex", lambda _size: "dropped")
    front.drops = ("dropped",)

    with pytest.raises(StoreRefused, match="answered that it took an object, and has none"):
        store.check()
