from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from fixtures.s3 import S3Server
from fixtures.s3_front import S3Front, front_of
from reelmill_common.errors import StoreRefused
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


def test_a_store_that_wants_the_bucket_in_the_host_says_which_setting_does_it(
    nanio_server: S3Server, front: S3Front
) -> None:
    front.refuses = lambda _method, _headers: (403, "SecondLevelDomainForbidden", "Please use virtual hosted style")
    store = store_on(nanio_server, front, prefix="oss")

    with pytest.raises(StoreRefused, match=r"REELMILL_S3_ADDRESSING=virtual .*Please use virtual hosted style"):
        store.check()

    named = S3Store("clips", "", Settings(s3_endpoint="https://oss.example:9", s3_addressing="virtual"))
    assert named.url("night/fox.mp4").startswith("https://clips.oss.example:9/night/fox.mp4?")


def test_an_endpoint_with_a_path_that_the_server_has_not_is_explained(nanio_server: S3Server, front: S3Front) -> None:
    store = store_on(nanio_server, front, prefix="r2", s3_endpoint=f"{front.endpoint}/another")

    with pytest.raises(StoreRefused, match="REELMILL_S3_ENDPOINT has the path 'another', which few servers have"):
        store.check()


def test_a_servers_own_words_are_repeated_without_anything_as_long_as_a_token(
    nanio_server: S3Server, front: S3Front
) -> None:
    token = "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD" * 4
    message = f"User: arn:aws:iam::111122223333:user/farm sent {token} and may not"
    front.refuses = lambda _method, _headers: (403, "AccessDenied", message)

    with pytest.raises(StoreRefused, match=r"arn:aws:iam::111122223333:user/farm sent … and may not") as caught:
        store_on(nanio_server, front, prefix="words").check()

    assert token[:32] not in str(caught.value)
