"""Health over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from fixtures.valkey import free_port
from fixtures.visitor import Visitor


def test_a_process_lives_without_redis_and_is_not_ready(make_console: Callable[..., Visitor]) -> None:
    console = make_console(redis_url=f"redis://127.0.0.1:{free_port()}/0")

    live, ready = console("GET", "/healthz"), console("GET", "/readyz")

    assert (live.status, live.json) == (200, {"status": "ok"})
    assert (ready.status, ready.code) == (503, "ledger_unavailable")
    assert int(ready.headers["retry-after"]) >= 1


def test_a_process_with_redis_is_ready(console: Visitor) -> None:
    assert console("GET", "/readyz").status == 200
