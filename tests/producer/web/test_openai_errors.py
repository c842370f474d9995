"""OpenAI's errors: every kind of ours in the shape that its clients read."""

from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import Message, Scope

from reelmill_common.errors import InvalidJob, JobConflict, LedgerUnavailable, NotAllowed, NotFound, StoreUnavailable
from reelmill_producer.web.openai_errors import OpenAIRoute, Unable
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.video_items import VideoItem


class Connection:
    """What the application notes an outage in."""

    def __init__(self) -> None:
        self.noted: list[Exception] = []

    def note(self, err: Exception) -> None:
        self.noted.append(err)


async def answered(err: Exception) -> tuple[int, dict[str, str | None], dict[str, str], Connection]:
    """Return status, error and headers of the answer of a route that raises."""
    router, app, connection = APIRouter(route_class=OpenAIRoute), FastAPI(), Connection()

    @router.get("/x", response_model=VideoItem)
    async def route() -> None:
        raise err

    app.include_router(router)
    app.state.console = type("Holder", (), {"connection": connection})()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b"", "app": app,
        "http_version": "1.1", "scheme": "http", "server": ("x", 80), "client": ("y", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], json.loads(sent[1]["body"])["error"], headers, connection


@pytest.mark.parametrize(
    ("err", "status", "kind", "code"),
    [
        pytest.param(InvalidJob("no"), 400, "invalid_request_error", "invalid_job", id="job"),
        pytest.param(JobConflict("no"), 409, "invalid_request_error", "job_conflict", id="conflict"),
        pytest.param(NotFound("no"), 404, "not_found_error", "not_found", id="absent"),
        pytest.param(NotAllowed("no"), 403, "permission_error", "not_allowed", id="role"),
        pytest.param(LedgerUnavailable("no"), 503, "server_error", "ledger_unavailable", id="Redis"),
        pytest.param(StoreUnavailable("no"), 503, "server_error", "store_unavailable", id="store"),
        pytest.param(Refusal(401, "no"), 401, "authentication_error", "invalid_api_key", id="token"),
        pytest.param(Refusal(422, "no"), 400, "invalid_request_error", None, id="form"),
        pytest.param(Unable("size", "no"), 400, "invalid_request_error", "unsupported_value", id="field"),
    ],
)
def test_an_error_has_openais_shape(err: Exception, status: int, kind: str, code: str | None) -> None:

    got, error, headers, connection = asyncio.run(answered(err))

    param = "size" if isinstance(err, Unable) else None
    assert (got, error) == (status, {"message": "no", "type": kind, "param": param, "code": code})
    assert ("retry-after" in headers) == (status == 503)
    assert bool(connection.noted) == isinstance(err, LedgerUnavailable)
