"""The protocol: connections on which no request comes whole in time."""

from __future__ import annotations

from collections.abc import Callable

from fixtures.visitor import Visitor, raw


def test_a_slow_head_is_given_up(make_console: Callable[..., Visitor]) -> None:
    console = make_console(console_body_timeout_s=0.5)

    assert raw(console, b"GET /healthz HTTP/1.1\r\nHost: 127.0") == b""
    assert raw(console) == b""


def test_the_second_request_of_a_connection_may_not_be_slow_either(make_console: Callable[..., Visitor]) -> None:
    console = make_console(console_body_timeout_s=0.5)
    whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    said = raw(console, whole, b"GET /healthz HTTP/1.1\r\nHo")

    assert said.count(b"HTTP/1.1 200") == 1
