"""Metrics over HTTP: only figures, only to read, and only with the token if one is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fixtures.http_status import status
from reelmill_common.metrics.exporter import Endpoint, registry


@pytest.fixture
def make_endpoint() -> Iterator[Callable[..., str]]:
    """Serve figures; return where."""
    opened: list[Endpoint] = []

    def make(**options: Any) -> str:
        opened.append(Endpoint(registry(), host="127.0.0.1", port=0, **options))
        return f"http://127.0.0.1:{opened[-1].port}"

    yield make
    for endpoint in opened:
        endpoint.close()


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        pytest.param({}, 401, id="nothing"),
        pytest.param({"Authorization": "Bearer wrong"}, 401, id="a wrong token"),
        pytest.param({"Authorization": "Bearer "}, 401, id="an empty token"),
        pytest.param({"Authorization": "secret"}, 401, id="the token by itself"),
        pytest.param({"Authorization": "Bearer secrét"}, 401, id="not ASCII"),
        pytest.param({"Authorization": "Bearer secret"}, 200, id="the token"),
    ],
)
def test_with_a_token_set_only_who_brings_it_reads(
    make_endpoint: Callable[..., str], given: dict[str, str], answer: int
) -> None:
    url = make_endpoint(token="secret")

    assert status(f"{url}/metrics", **given) == answer
    assert status(f"{url}/anything", **given) == (404 if answer == 200 else 401)


def test_only_figures_are_served_and_only_to_read(make_endpoint: Callable[..., str]) -> None:
    url = make_endpoint()

    answers = [status(f"{url}{path}") for path in ("/metrics", "/", "/../etc/passwd", "/targets")]

    assert answers == [200, 404, 404, 404]
    assert status(f"{url}/metrics", method="POST") == 405
