"""Limits: of size, of pace, and of patience."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from fixtures.visitor import Visitor, raw
from reelmill_common.ledger import Ledger
from reelmill_producer.web import limits
from reelmill_producer.web.limits import RateLimit

HEAD = b"PUT /api/v1/batches/night HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"


def test_a_body_that_is_too_large_is_refused_by_its_length(
    make_console: Callable[..., Visitor], ledger: Ledger
) -> None:
    console = make_console(console_body_mb=1)

    said = raw(console, HEAD + b"Content-Length: 9000000\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in said
    assert not ledger.batches.exists("night")


def test_a_body_of_unknown_length_is_refused_when_it_is_too_large(
    make_console: Callable[..., Visitor], ledger: Ledger
) -> None:
    console = make_console(console_body_mb=1)
    chunk = b"40000\r\n" + b"a fox and an owl" * 16_384 + b"\r\n"

    said = raw(console, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 4)

    assert said.startswith(b"HTTP/1.1 413")
    assert not ledger.batches.exists("night")


def test_json_has_a_limit_of_its_own(console: Visitor) -> None:
    said = raw(console, HEAD.replace(b"text/plain", b"application/json") + b"Content-Length: 16000001\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in said


def test_a_slow_body_is_given_up(make_console: Callable[..., Visitor]) -> None:
    console = make_console(console_body_timeout_s=0.5)

    said = raw(console, HEAD + b"Content-Length: 100\r\n\r\na fox\n")

    assert said.startswith(b"HTTP/1.1 408")


def test_too_many_requests_are_told_when_to_come_again(make_console: Callable[..., Visitor]) -> None:
    console = make_console(console_rate=1)

    answers = [console("GET", "session") for _ in range(limits.BURST_S + 1)]

    assert [answer.status for answer in answers[:-1]] == [200] * limits.BURST_S
    assert (answers[-1].status, answers[-1].code) == (429, "too_many_requests")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert console("GET", "/healthz").status == 200


def test_tokens_are_not_guessed_in_bulk(make_console: Callable[..., Visitor]) -> None:
    console = make_console(is_open=False)

    statuses = {
        Visitor(url=console.url, token=f"rmt_{number:043}")("GET", "session").status
        for number in range(limits.BURST_S + 2)
    }

    assert statuses == {401, 429}


def test_a_caller_earns_requests_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    rate = RateLimit(2)
    for _ in range(2 * limits.BURST_S):
        assert rate.wait_s("a") == 0

    assert rate.wait_s("a") == pytest.approx(0.5)
    assert rate.wait_s("b") == 0
    clock[0] = 0.5
    assert rate.wait_s("a") == 0
    assert RateLimit(0).wait_s("a") == 0
