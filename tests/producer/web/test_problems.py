"""Problems: every error of ours as RFC 9457 has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.visitor import Visitor
from reelmill_common import errors
from reelmill_common.errors import ReelmillError
from reelmill_producer.web.problems import advice_of, answer_to, status_of


def kinds(kind: type[ReelmillError] = ReelmillError) -> Iterator[type[ReelmillError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from kinds(child)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_has_its_code_and_a_status(kind: type[ReelmillError]) -> None:
    answer = answer_to(kind("x=3 is wrong; use 4"))

    assert answer.media_type == "application/problem+json"
    assert kind.code.encode() in bytes(answer.body)
    assert 400 <= status_of(kind("x")) < 600
    assert (answer.status_code == 503) == ("retry-after" in answer.headers)


def test_advice_is_what_stands_behind_the_last_semicolon() -> None:
    assert advice_of("a; b; use 4") == "use 4"
    assert advice_of("a") == ""


def test_an_address_that_is_not_there_is_a_problem_too(console: Visitor) -> None:
    missing, method = console("GET", "nothing"), console("DELETE", "farm")

    assert (missing.status, missing.code) == (404, "not_found")
    assert (method.status, method.code, method.headers["allow"]) == (405, "method_not_allowed", "GET")
