"""Credentials that change while a farm runs: renewed files, roles and session tokens are taken up without a restart."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fixtures.s3 import S3Server
from reelmill_common.errors import StoreRefused
from reelmill_common.storage.s3 import S3Store


def write_keys(path: Path, access: str, secret: str, *, changed_s: float | None = None) -> None:
    path.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    if changed_s is not None:
        os.utime(path, (changed_s, changed_s))


@pytest.fixture
def keys(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A credentials file, and nothing else that boto3 could read."""
    nanio_server.let_in(monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


def store_on(server: S3Server, prefix: str) -> S3Store:
    return S3Store(server.bucket, prefix, server.settings(), attempts=2)


def put(store: S3Store, key: str) -> None:
    store.put(key, key.encode(), content_type="video/mp4")


def test_a_file_that_is_renewed_is_read_before_the_next_request(nanio_server: S3Server, keys: Path) -> None:
    write_keys(keys, "old", "old", changed_s=1.0)
    store = store_on(nanio_server, "renewed")
    with pytest.raises(StoreRefused, match=r"does not know the access key.*its own words: InvalidAccessKeyId"):
        put(store, "night/a.mp4")

    write_keys(keys, nanio_server.access_key, nanio_server.secret_key)

    put(store, "night/a.mp4")
    assert f"X-Amz-Credential={nanio_server.access_key}" in store.url("night/a.mp4")


def test_keys_that_are_refused_are_read_again_though_the_file_looks_the_same(
    nanio_server: S3Server, keys: Path
) -> None:
    write_keys(keys, nanio_server.access_key, nanio_server.secret_key, changed_s=1.0)
    store = store_on(nanio_server, "again")
    put(store, "night/a.mp4")
    store._access._files = ((0, 0), (0, 0))  # as if it had changed: the next call reads what is wrong
    write_keys(keys, "wrong", "wrong", changed_s=1.0)
    with pytest.raises(StoreRefused):
        store.get("night/a.mp4")

    write_keys(keys, nanio_server.access_key, nanio_server.secret_key, changed_s=1.0)

    assert store.get("night/a.mp4") == b"night/a.mp4"
    assert [item.key for item in store.list()] == ["night/a.mp4"]


def test_no_keys_at_first_is_no_reason_to_start_again(nanio_server: S3Server, keys: Path) -> None:
    store = store_on(nanio_server, "first")
    with pytest.raises(StoreRefused, match="no usable S3 credentials"):
        put(store, "night/a.mp4")

    write_keys(keys, nanio_server.access_key, nanio_server.secret_key)

    put(store, "night/a.mp4")


@contextmanager
def role(server: S3Server, lasts_s: float) -> Iterator[tuple[str, list[str]]]:
    """Serve container credentials; the list has what is served, and may be changed."""
    served = [server.access_key, server.secret_key]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            end = (datetime.now(UTC) + timedelta(seconds=lasts_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            answer = {"AccessKeyId": served[0], "SecretAccessKey": served[1], "Token": "word", "Expiration": end}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}/keys", served
        finally:
            listener.shutdown()
            thread.join()


def test_a_role_whose_keys_were_replaced_early_is_asked_again(
    nanio_server: S3Server, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with role(nanio_server, 7200) as (url, served):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        right, served[:] = list(served), ["gone", "gone"]
        store = store_on(nanio_server, "role")
        with pytest.raises(StoreRefused):
            put(store, "night/a.mp4")

        served[:] = right

        put(store, "night/a.mp4")
        assert 7000 < store.links_last_s <= 7200


def test_a_link_lasts_no_longer_than_the_credentials_that_sign_it(
    nanio_server: S3Server, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with role(nanio_server, 3000) as (url, _):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)

        store = store_on(nanio_server, "link")

        assert 2900 < store.links_last_s <= 3000
        assert store.links_note.startswith("links expire in 49 min ")


def test_a_session_that_does_not_say_its_end_is_told(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nanio_server.let_in(monkeypatch)
    plain = store_on(nanio_server, "link").links_note
    monkeypatch.setenv("AWS_SESSION_TOKEN", "word")

    assert plain == ""
    assert "a session's credentials" in store_on(nanio_server, "link").links_note
