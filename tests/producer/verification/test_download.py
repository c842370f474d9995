"""Files behind links: fetched whole, and never from where webhooks may not go either."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reelmill_common.errors import NotDelivered, NotFound
from reelmill_producer.verification import download as module
from reelmill_producer.verification.download import download


class Files(BaseHTTPRequestHandler):
    """Serves one clip, a redirect, and nothing else."""

    def do_GET(self) -> None:
        status = {"/clip": 200, "/moved": 302}.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://169.254.169.254/secrets")
        self.send_header("Content-Length", "100000" if status == 200 else "0")
        self.end_headers()
        if status == 200:
            self.wfile.write(b"m" * 100_000)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_fetched_from_where_the_owner_allows(server: str, tmp_path: Path) -> None:
    download(f"{server}/clip", tmp_path / "file", "127.0.0.1", plain_http=True)

    assert (tmp_path / "file").read_bytes() == b"m" * 100_000


def test_a_private_address_is_not_reached(server: str, tmp_path: Path) -> None:
    with pytest.raises(NotDelivered, match="not on the public internet"):
        download(f"{server}/clip", tmp_path / "file", "", plain_http=True)


def test_plain_http_is_not_spoken_unless_it_is_allowed(server: str, tmp_path: Path) -> None:
    with pytest.raises(NotDelivered, match="only https"):
        download(f"{server}/clip", tmp_path / "file", "127.0.0.1", plain_http=False)


@pytest.mark.parametrize(("path", "why"), [("/moved", "302; it redirects"), ("/gone", "404")])
def test_what_is_not_there_is_not_followed(server: str, tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(NotFound, match=why):
        download(server + path, tmp_path / "file", "127.0.0.1", plain_http=True)


def test_a_file_that_is_too_large_is_not_read(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 50_000)

    with pytest.raises(NotDelivered, match="larger than 50,000 bytes"):
        download(f"{server}/clip", tmp_path / "file", "127.0.0.1", plain_http=True)
    assert (tmp_path / "file").stat().st_size <= 65_536
