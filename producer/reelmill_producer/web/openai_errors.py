"""OpenAI's errors: what the routes below `/v1` answer instead of problem details, so that its clients can read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from reelmill_common.errors import InvalidJob, InvalidSettings, ReelmillError
from reelmill_producer.web.problems import BUG, RETRY_AFTER_S, Refusal, status_of

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_CODES = {
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    421: "wrong_host",
    429: "rate_limit_exceeded",
}
_MOST_MESSAGE = 4000


class OpenAIError(BaseModel):
    """What is wrong."""

    message: str = Field(description="What was asked, what is possible, and what to do.")
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(description="The field that is wrong; null if it is none, or not one.")
    code: str | None = Field(examples=["invalid_job"])


class OpenAIErrorBody(BaseModel):
    """An error as OpenAI's API has it."""

    error: OpenAIError


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorBody, "description": text}
    for status, text in {
        400: "What is asked for cannot be done as it is; the message names the nearest value.",
        401: "There is no valid token.",
        403: "The role or the owner of the token does not allow it.",
        404: "There is no such video, or it belongs to another owner.",
        408: "The body came too slowly.",
        409: "The `Idempotency-Key` was used before with another request.",
        413: "The body is too large.",
        415: "The type of the body is not known.",
        416: "`Range` begins behind the end.",
        421: "The console is not known by this host name.",
        429: "Too many requests; `Retry-After` says when to ask again.",
        502: "The store failed.",
        503: "Redis or the store is away; `Retry-After` says when to ask again.",
    }.items()
}
"""What the routes may answer beside their own."""


class Unable(Refusal):
    """Something that is asked for cannot be done.

    Args:
        param: The field that asks for it.
        detail: What was asked, what is possible, and what to do.
        status: HTTP status.
        code: For programs.
    """

    def __init__(self, param: str, detail: str, *, status: int = 400, code: str = "unsupported_value") -> None:
        super().__init__(status, detail, fields={"param": param, "code": code})


def openai_error_of(err: Exception) -> JSONResponse:
    """Return the answer to any error in OpenAI's shape."""
    if isinstance(err, RequestValidationError):
        first = err.errors()[0]
        param = str(first["loc"][-1])
        return error(400, f"{param}: {first['msg']}", param=param, code="invalid_request")
    if isinstance(err, HTTPException):
        fields = err.fields if isinstance(err, Refusal) else {}
        status = 400 if err.status_code == 422 else err.status_code
        known = {name: fields[name] for name in ("param", "code") if name in fields}
        return error(status, str(err.detail), headers=err.headers, **known)
    if isinstance(err, ReelmillError):
        status = 400 if isinstance(err, InvalidJob | InvalidSettings) else status_of(err)
        return error(status, str(err), code=err.code)
    return error(500, BUG, code=ReelmillError.code)


def error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error as a response."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body = {"message": message[:_MOST_MESSAGE], "type": kind, "param": param, "code": code or _CODES.get(status)}
    again = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return JSONResponse({"error": body}, status, {**again, **(headers or {})})
