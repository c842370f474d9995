"""S3 over TLS with a private authority, where boto3 sends its checksum behind the body and many servers trip."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fixtures.proxy import Authority, make_authority, proxy
from fixtures.s3 import S3Server
from reelmill_common.errors import StoreRefused, StoreUnavailable
from reelmill_common.settings import Settings
from reelmill_common.storage.s3 import S3Store

NANIO = pytest.param("nanio", id="nanio")
SEAWEED = pytest.param("seaweed", id="seaweed", marks=pytest.mark.services)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings of a store behind a TLS terminator."""
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    server.let_in(monkeypatch)
    with proxy(int(server.endpoint.rpartition(":")[2]), tls=authority.server) as front:
        yield server.settings(s3_endpoint=f"https://127.0.0.1:{front.port}", s3_ca_bundle=str(authority.bundle))


REASONS = {
    "nanio": r"1024 bytes were sent and 10\d\d others came back",  # boto3's framing, stored as part of the clip
    "seaweed": "the object came back with Content-Encoding 'aws-chunked'",  # which browsers cannot undo
}


@pytest.mark.parametrize("settings", [NANIO, SEAWEED], indirect=True)
def test_auto_finds_a_mode_in_which_clips_arrive_whole(settings: Settings, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    store = S3Store("clips", f"https-{name}", settings)

    with capture_logs() as logs:
        report = store.check()
    store.put("night/fox.mp4", bytes(range(256)) * 4096, content_type="video/mp4")

    assert report.checksum_mode == "when_required"
    assert [entry["event"] for entry in logs] == ["store.mode_refused"]
    assert re.fullmatch(REASONS[name], logs[0]["reason"])
    assert store.get("night/fox.mp4") == bytes(range(256)) * 4096


@pytest.mark.parametrize("settings", [NANIO], indirect=True)
def test_the_first_put_finds_the_mode_by_itself(settings: Settings) -> None:
    store = S3Store("clips", "first", settings)

    store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert store.get("night/fox.mp4") == b"clip"


@pytest.mark.parametrize("settings", [NANIO], indirect=True)
def test_a_mode_that_damages_clips_is_refused_even_if_it_was_asked_for(settings: Settings) -> None:
    store = S3Store("clips", "asked", dataclasses.replace(settings, s3_checksum="when_supported"))

    for act in (store.check, lambda: store.put("night/fox.mp4", b"clip", content_type="video/mp4")):
        with pytest.raises(StoreRefused, match=r"does not return what boto3 sends .* REELMILL_S3_CHECKSUM to auto"):
            act()

    assert list(store.list()) == []


@pytest.mark.parametrize("settings", [NANIO], indirect=True)
@pytest.mark.parametrize("bundle", ["another authority", "none"])
def test_an_untrusted_certificate_is_told_with_the_setting_that_mends_it(
    settings: Settings, tmp_path: Path, bundle: str
) -> None:
    path = "" if bundle == "none" else str(make_authority(tmp_path / "theirs").bundle)
    store = S3Store("clips", "", dataclasses.replace(settings, s3_ca_bundle=path))

    with pytest.raises(StoreRefused, match=r"certificate of https://127.* set REELMILL_S3_CA_BUNDLE"):
        store.check()


@pytest.mark.parametrize("settings", [NANIO], indirect=True)
def test_a_bundle_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    store = S3Store("clips", "", dataclasses.replace(settings, s3_ca_bundle=str(tmp_path / "gone.pem")))

    with pytest.raises(StoreRefused, match=r"REELMILL_S3_CA_BUNDLE=.*gone\.pem' is not a file"):
        store.check()


def test_https_to_a_server_that_speaks_http_is_told(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nanio_server.let_in(monkeypatch)
    settings = nanio_server.settings(s3_endpoint=nanio_server.endpoint.replace("http:", "https:"))

    with pytest.raises(StoreUnavailable, match="check that REELMILL_S3_ENDPOINT speaks https"):
        S3Store("clips", "", settings).check()
