"""The application: it is made without a farm, and answers for a bug of ours without its details."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from fixtures.valkey import free_port
from fixtures.visitor import Visitor
from reelmill_common.settings import Settings
from reelmill_producer.web import app as module
from reelmill_producer.web.app import make_app
from reelmill_producer.web.server import in_background

SECRET = "rmt_secret"


def test_an_application_is_made_without_a_farm() -> None:
    app = make_app(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))

    assert "/api/v1/batches/{batch}" in app.openapi()["paths"]


def test_a_bug_is_answered_without_its_details(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(app: FastAPI) -> None:
        @app.get("/broken")
        def fail() -> None:
            raise RuntimeError(SECRET)

    monkeypatch.setattr(module, "add_pages", broken)
    with in_background(Settings(redis_url=settings.redis_url, console_port=0), is_open=True) as url:
        answer = Visitor(url=url)("GET", "/broken")

    assert (answer.status, answer.code) == (500, "reelmill_error")
    assert SECRET.encode() not in answer.body
    assert b"Traceback" not in answer.body
