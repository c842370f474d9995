"""What only S3 does: distinguished refusals, headers, signed links, damage, and a put that is cut off."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.proxy import proxy
from fixtures.s3 import S3Server, free_port
from fixtures.valkey import wait_for
from reelmill_common.errors import ClipExists, StoreError, StoreRefused, StoreUnavailable
from reelmill_common.settings import Settings
from reelmill_common.storage.s3 import S3Store


@pytest.fixture(params=["nanio", pytest.param("seaweed", marks=pytest.mark.services)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    found: S3Server = request.getfixturevalue(f"{request.param}_server")
    found.let_in(monkeypatch)
    return found


@pytest.fixture
def nanio(nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    nanio_server.let_in(monkeypatch)
    return nanio_server


def store_on(server: S3Server, *, prefix: str = "", bucket: str = "", attempts: int = 2, **changes: object) -> S3Store:
    settings = dataclasses.replace(server.settings(), **changes)
    return S3Store(bucket or server.bucket, prefix, settings, attempts=attempts)


def put(store: S3Store, key: str = "night/fox.mp4", body: bytes = b"clip") -> None:
    store.put(key, body, content_type="video/mp4")


def every_call(store: S3Store) -> list[tuple[str, object]]:
    return [
        ("check", store.check),
        ("put", lambda: put(store)),
        ("get", lambda: store.get("night/fox.mp4")),
        ("head", lambda: store.head("night/fox.mp4")),
        ("list", lambda: list(store.list())),
    ]


def refusals(store: S3Store) -> dict[str, str]:
    """Return the message of each call; every one must be refused."""
    messages = {}
    for name, call in every_call(store):
        with pytest.raises(StoreRefused) as caught:
            call()
        messages[name] = str(caught.value)
    return messages


def test_a_wrong_secret_is_refused_by_every_call(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-is-wrong")

    for message in refusals(store_on(server)).values():
        assert re.search(r"refused the signature.* correct AWS_SECRET_ACCESS_KEY", message)
        assert "hunter2" not in message


def test_an_unknown_access_key_is_refused_by_every_call(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")

    for message in refusals(store_on(server)).values():
        assert re.search(r"does not know the access key.* AWS_ACCESS_KEY_ID", message)


def test_a_missing_bucket_is_named_by_every_call(server: S3Server) -> None:
    wanted = f"bucket 'no-such-bucket' is missing at {server.endpoint}; create it or correct REELMILL_STORE_URL"

    for message in refusals(store_on(server, bucket="no-such-bucket")).values():
        assert message == wanted


def test_no_credentials_at_all_is_told_with_where_they_go(nanio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = store_on(nanio)

    for message in refusals(store).values():
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in message
    with pytest.raises(StoreRefused, match="set AWS_ACCESS_KEY_ID"):
        store.url("night/fox.mp4")


def test_a_profile_that_is_not_there_is_told(nanio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")

    with pytest.raises(StoreRefused, match=r"ProfileNotFound.*a profile or role"):
        store_on(nanio).check()


def test_a_server_that_is_not_there_is_something_to_wait_for(nanio: S3Server) -> None:
    store = store_on(nanio, s3_endpoint=f"http://127.0.0.1:{free_port()}")

    for name, call in every_call(store):
        with pytest.raises(StoreUnavailable, match=r"does not answer .*REELMILL_S3_ENDPOINT") as caught:
            call()
        assert caught.value.retryable, name


def test_an_endpoint_that_is_no_url_is_refused(nanio: S3Server) -> None:
    with pytest.raises(StoreRefused, match="REELMILL_S3_ENDPOINT='http://a b' is not a usable URL"):
        store_on(nanio, s3_endpoint="http://a b").check()


@pytest.fixture
def busy_endpoint() -> Iterator[str]:
    """A server that answers every request as an overloaded S3 does."""

    class Busy(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_overloaded_server_is_something_to_wait_for(nanio: S3Server, busy_endpoint: str) -> None:
    store = store_on(nanio, s3_endpoint=busy_endpoint, attempts=1)

    for call in (lambda: store.get("night/fox.mp4"), lambda: list(store.list()), store.check):
        with pytest.raises(StoreUnavailable, match=r"answered 503 .*try again later"):
            call()


def test_a_clip_is_stored_with_what_browsers_and_caches_need(server: S3Server) -> None:
    put(store_on(server, prefix="headers"), "night-7/fox.mp4", b"clip")

    head = server.client().head_object(Bucket=server.bucket, Key="headers/night-7/fox.mp4")
    assert head["ContentType"] == "video/mp4"
    assert head["ContentDisposition"] == 'inline; filename="night-7-fox.mp4"'
    assert head["CacheControl"] == "private, max-age=31536000, immutable"
    assert head["Metadata"] == {"sha256": hashlib.sha256(b"clip").hexdigest()}


def test_what_may_change_is_not_cached(nanio: S3Server) -> None:
    store = store_on(nanio, prefix="headers")

    store.put("night-7/index.html", b"<p>", content_type="text/html", replace=True)

    head = nanio.client().head_object(Bucket=nanio.bucket, Key="headers/night-7/index.html")
    assert head["CacheControl"] == "no-cache"


def test_the_check_tells_what_the_server_honours(server: S3Server) -> None:
    report = store_on(server, prefix="clips").check()

    assert report.url == f"s3://{server.bucket}/clips/ at {server.endpoint}"
    assert report.conditional_put == ("seaweed" in server.access_key)
    assert report.checksum_mode == "when_supported"


@pytest.mark.parametrize("mode", ["when_supported", "when_required"])
def test_a_checksum_mode_that_is_set_is_the_one_that_is_used(nanio: S3Server, mode: str) -> None:
    assert store_on(nanio, s3_checksum=mode).check().checksum_mode == mode


def test_a_link_that_was_tampered_with_does_not_open(server: S3Server) -> None:
    store = store_on(server, prefix="links")
    put(store, "night/fox.mp4", b"mine")
    put(store, "night/owl.mp4", b"not yours")
    link = store.url("night/fox.mp4")

    for tampered in (link.replace("fox.mp4?", "owl.mp4?"), link.replace("Expires=86400", "Expires=604800"), link[:-1]):
        with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(tampered):
            pass
        assert caught.value.code in (400, 403)
        caught.value.close()


def test_a_link_opens_for_as_long_as_was_set(server: S3Server) -> None:
    store = store_on(server, prefix="links", presign_s=1)
    put(store, "night/old.mp4", b"clip")
    link = store.url("night/old.mp4")

    def status() -> int:
        try:
            with urllib.request.urlopen(link) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as err:
            err.close()
            return err.code

    wait_for(lambda: status() == 403, what="the link's end")


def test_what_a_link_leads_to_is_not_for_caches_on_the_way(server: S3Server) -> None:
    store = store_on(server, prefix="private", presign_s=600)
    put(store)

    with urllib.request.urlopen(store.url("night/fox.mp4")) as reply:
        assert reply.headers["Cache-Control"].startswith("private, max-age=")  # nanio takes the object's own word


def test_objects_that_are_not_ours_are_passed_over(server: S3Server) -> None:
    store = store_on(server, prefix="shared")
    put(store)
    for key in ("shared/Notes.txt", "shared/night/.hidden", "shared/Private/fox.mp4", "sharedx/fox.mp4", "fox.mp4"):
        server.client().put_object(Bucket=server.bucket, Key=key, Body=b"not ours")

    assert [found.key for found in store.list()] == ["night/fox.mp4"]


def test_a_damaged_clip_of_ours_is_removed_so_that_it_can_be_stored_again(server: S3Server) -> None:
    store = store_on(server, prefix="damaged")
    server.client().put_object(
        Bucket=server.bucket,
        Key="damaged/night/fox.mp4",
        Body=b"cl1p",
        Metadata={"sha256": hashlib.sha256(b"clip").hexdigest()},
    )

    with pytest.raises(StoreUnavailable, match=r"arrived damaged .* try again"):
        put(store)

    put(store)
    assert store.get("night/fox.mp4") == b"clip"


def test_an_object_without_our_metadata_is_known_by_its_etag(server: S3Server) -> None:
    store = store_on(server, prefix="plain")
    for key in ("plain/night/fox.mp4", "plain/night/owl.mp4"):
        server.client().put_object(Bucket=server.bucket, Key=key, Body=b"clip")

    put(store, "night/fox.mp4", b"clip")
    with pytest.raises(ClipExists):
        put(store, "night/owl.mp4", b"clop")


@pytest.mark.timeout(45)  # a connection that is kept after the refusal makes the next request wait for 60 s
def test_after_a_refused_put_the_next_one_goes_through_at_once(server: S3Server) -> None:
    bucket = server.make_bucket()
    store = store_on(server, bucket=bucket)
    store.check()
    server.client().delete_bucket(Bucket=bucket)

    with pytest.raises(StoreRefused, match="is missing"):
        put(store)

    server.client().create_bucket(Bucket=bucket)
    put(store)
    assert store.get("night/fox.mp4") == b"clip"


def test_a_put_that_is_killed_leaves_nothing_to_see(server: S3Server) -> None:
    bucket = server.make_bucket()
    program = (
        "import os, sys\n"
        "from reelmill_common.settings import Settings\n"
        "from reelmill_common.storage import open_store\n"
        "store = open_store(Settings.from_env(os.environ))\n"
        "store.put('night/fox.mp4', bytes(8 << 20), content_type='video/mp4')\n"
    )
    with proxy(int(server.endpoint.rpartition(":")[2]), stall_after=2 << 20) as between:
        env = server.env(bucket=bucket) | {"REELMILL_S3_ENDPOINT": f"http://127.0.0.1:{between.port}"}
        child = subprocess.Popen([sys.executable, "-c", program], env=os.environ | env)
        wait_for(between.stalled.is_set, what="the upload's middle")

        child.kill()
        child.wait()

    store = store_on(server, bucket=bucket)
    assert list(store.list()) == []
    assert store.head("night/fox.mp4") is None
    put(store, body=b"again")
    assert store.get("night/fox.mp4") == b"again"


def test_a_client_is_shared_by_threads_that_start_together(nanio: S3Server) -> None:
    store, start, failed = store_on(nanio, prefix="threads"), threading.Barrier(8), []

    def one(number: int) -> None:
        start.wait()
        try:
            put(store, f"night/{number}.mp4", b"%d" % number)
        except StoreError as err:
            failed.append(err)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert {found.key: store.get(found.key) for found in store.list("night/")} == {
        f"night/{number}.mp4": b"%d" % number for number in range(8)
    }


def test_nothing_is_connected_before_the_first_call() -> None:
    store = S3Store("clips", "", Settings(s3_endpoint="http://127.0.0.1:1"))

    assert store._access._clients == {}


def test_a_child_process_gets_the_store_from_its_environment(nanio: S3Server, tmp_path: Path) -> None:
    program = (
        "import os\n"
        "from reelmill_common.settings import Settings\n"
        "from reelmill_common.storage import open_store\n"
        "store = open_store(Settings.from_env(os.environ))\n"
        "store.put('night/fox.mp4', b'clip', content_type='video/mp4')\n"
        "print(store.check().url)\n"
    )

    child = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | nanio.env(Settings(state_dir=tmp_path), prefix="child"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert child.stdout.strip() == f"s3://{nanio.bucket}/child/ at {nanio.endpoint}"
    assert store_on(nanio, prefix="child").get("night/fox.mp4") == b"clip"
