"""Error answers: every error in the shape of its address, OpenAI's below `/v1` and problem details elsewhere."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from reelmill_common.errors import LedgerUnavailable, ReelmillError
from reelmill_producer.web.openai_errors import openai_error_of
from reelmill_producer.web.problems import problem_of, status_of

OPENAI = "/v1"
"""Path below which OpenAI's clients ask."""

log = structlog.get_logger(__name__)


def answer_for(scope: Scope, err: Exception) -> JSONResponse:
    """Return the answer to an error of a request, wherever the request was stopped."""
    path = scope["path"].removeprefix(scope["app"].state.console.settings.console_root_path)
    return openai_error_of(err) if f"{path}/".startswith(f"{OPENAI}/") else problem_of(err)


def add_handlers(app: FastAPI) -> None:
    """Let an application answer every error, and take note of those that others should know of."""
    for kind in (ReelmillError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answered)


async def _answered(request: Request, err: Exception) -> JSONResponse:
    if isinstance(err, LedgerUnavailable):
        request.app.state.console.connection.note(err)
    if isinstance(err, ReelmillError):
        if status_of(err) == 500:
            log.error("request.failed", path=request.url.path, code=err.code, error=str(err))
    elif not isinstance(err, RequestValidationError | HTTPException):
        log.error("request.failed", path=request.url.path, exc_info=err)
    return answer_for(request.scope, err)
