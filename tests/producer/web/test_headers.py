"""Headers of every answer, hosts that may be named, and a console under a path."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.visitor import Visitor
from reelmill_producer.web.headers import CONTENT_SECURITY_POLICY, host_of, is_loopback


@pytest.mark.parametrize("path", ["/", "/batches/night", "/static/app.js", "/healthz", "/api/v1/farm", "/nowhere"])
def test_every_answer_is_strict(console: Visitor, path: str) -> None:
    headers = console("GET", path).headers

    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in headers


def test_a_host_that_is_not_ours_is_refused(make_console: Callable[..., Visitor]) -> None:
    local = make_console()
    known = make_console(console_hosts="farm.example.org,*.lan")

    assert local("GET", "/api/v1/farm", headers={"Host": "evil.example"}).code == "wrong_host"
    assert local("GET", "/healthz", headers={"Host": "localhost:1234"}).status == 200
    hosts = ("farm.example.org", "FARM.example.org:443", "a.lan", "lan", "evil.example")
    assert [known("GET", "/healthz", headers={"Host": host}).status for host in hosts] == [200, 200, 200, 421, 421]


def test_a_host_is_read_without_its_port() -> None:
    assert [host_of(text) for text in ("A.b:80", "[::1]:80", "1.2.3.4", "")] == ["a.b", "[::1]", "1.2.3.4", ""]
    assert all(map(is_loopback, ("localhost", "127.0.0.9", "[::1]")))
    assert not any(map(is_loopback, ("localhost.evil.example", "10.0.0.1", "")))
