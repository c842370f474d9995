"""What stores of others do: show objects late, keep nothing, demand encryption, refuse a header or a way to address."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fixtures.s3 import S3Server
from fixtures.s3_front import Refusal, S3Front, front_of
from reelmill_common.errors import StoreRefused
from reelmill_common.settings import Settings
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


def test_a_store_that_wants_the_bucket_in_the_host_says_which_setting_does_it(
    nanio_server: S3Server, front: S3Front
) -> None:
    front.refuses = lambda _method, _headers: (403, "SecondLevelDomainForbidden", "Please use virtual hosted style")
    store = store_on(nanio_server, front, prefix="oss")

    with pytest.raises(StoreRefused, match=r"REELMILL_S3_ADDRESSING=virtual .*Please use virtual hosted style"):
        store.check()

    named = S3Store("clips", "", Settings(s3_endpoint="https://oss.example:9", s3_addressing="virtual"))
    assert named.url("night/fox.mp4").startswith("https://clips.oss.example:9/night/fox.mp4?")


def test_an_endpoint_that_ends_in_the_bucket_is_the_server_without_it(nanio_server: S3Server, front: S3Front) -> None:
    store = store_on(nanio_server, front, prefix="r2", s3_endpoint=f"{front.endpoint}/{nanio_server.bucket}/")

    store.check()
    store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert str(store.place) == f"s3://{nanio_server.bucket}/r2/ at {front.endpoint}"
    assert f"/{nanio_server.bucket}/r2/night/fox.mp4" in front.sent


def test_an_endpoint_with_a_path_that_the_server_has_not_is_explained(nanio_server: S3Server, front: S3Front) -> None:
    store = store_on(nanio_server, front, prefix="r2", s3_endpoint=f"{front.endpoint}/another")

    with pytest.raises(StoreRefused, match="REELMILL_S3_ENDPOINT has the path 'another', which few servers have"):
        store.check()


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


def test_a_servers_own_words_are_repeated_without_anything_as_long_as_a_token(
    nanio_server: S3Server, front: S3Front
) -> None:
    token = "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD" * 4
    message = f"User: arn:aws:iam::111122223333:user/farm sent {token} and may not"
    front.refuses = lambda _method, _headers: (403, "AccessDenied", message)

    with pytest.raises(StoreRefused, match=r"arn:aws:iam::111122223333:user/farm sent … and may not") as caught:
        store_on(nanio_server, front, prefix="words").check()

    assert token[:32] not in str(caught.value)
