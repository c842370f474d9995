"""Headers of every answer, hosts that may be named, and a console under a path."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fixtures.console import Visitor
from reelmill_producer.web.headers import CONTENT_SECURITY_POLICY, host_of, is_loopback


@pytest.mark.parametrize("path", ["/", "/batches/night", "/static/app.js", "/healthz", "/api/v1/farm", "/nowhere"])
def test_every_answer_is_strict(console: Visitor, path: str) -> None:
    headers = console("GET", path).headers

    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in headers


def test_no_page_has_a_script_or_style_of_its_own(console: Visitor) -> None:
    page = console("GET", "/").body.decode()

    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert "<style" not in page
    assert re.findall(r"\son\w+=", page) == []


def test_a_host_that_is_not_ours_is_refused(make_console: Callable[..., Visitor]) -> None:
    local = make_console()
    known = make_console(console_hosts="farm.example.org,*.lan")

    assert local("GET", "/api/v1/farm", headers={"Host": "evil.example"}).code == "wrong_host"
    assert local("GET", "/healthz", headers={"Host": "localhost:1234"}).status == 200
    hosts = ("farm.example.org", "FARM.example.org:443", "a.lan", "lan", "evil.example")
    assert [known("GET", "/healthz", headers={"Host": host}).status for host in hosts] == [200, 200, 200, 421, 421]


@pytest.mark.parametrize("stripped", [False, True], ids=["the proxy keeps the path", "the proxy takes the path off"])
def test_the_console_works_under_a_path(make_console: Callable[..., Visitor], stripped: bool) -> None:
    console = make_console(console_root_path="/farm")
    path = console.url.rstrip("/").removesuffix("/farm")
    there = Visitor(url=path if stripped else console.url)

    page = there("GET", "/batches/night").body.decode()

    assert '<base href="/farm/">' in page
    assert there("GET", "farm").status == 200
    assert there("GET", "/static/app.js").status == 200


def test_a_host_is_read_without_its_port() -> None:
    assert [host_of(text) for text in ("A.b:80", "[::1]:80", "1.2.3.4", "")] == ["a.b", "[::1]", "1.2.3.4", ""]
    assert all(map(is_loopback, ("localhost", "127.0.0.9", "[::1]")))
    assert not any(map(is_loopback, ("localhost.evil.example", "10.0.0.1", "")))
