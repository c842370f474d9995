"""Problems: every error of ours as an answer of RFC 9457, with the code and the advice that a command gives."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from reelmill_common.errors import (
    ClipExists,
    InvalidDocument,
    InvalidJob,
    InvalidSettings,
    JobConflict,
    LedgerRefused,
    LedgerUnavailable,
    NotAllowed,
    NotDelivered,
    NotFound,
    ReelmillError,
    StillThere,
    StoreError,
    StoreUnavailable,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""Seconds after which a client may ask again for what is away now."""

STATUSES: Mapping[type[ReelmillError], int] = {
    InvalidSettings: 422,
    InvalidJob: 422,
    JobConflict: 409,
    InvalidDocument: 502,
    NotFound: 404,
    NotAllowed: 403,
    StillThere: 409,
    LedgerUnavailable: 503,
    LedgerRefused: 503,
    StoreUnavailable: 503,
    ClipExists: 409,
    StoreError: 502,
    NotDelivered: 502,
}
"""The status of each error; a kind of an error has that of the error, unless it stands here itself."""

BUG = "this is a bug in Reelmill; its log has more"

_MOST_DETAIL = 20_000
_CODES = {
    400: ("bad_request", "the request cannot be read"),
    401: ("not_signed_in", "send `Authorization: Bearer TOKEN`, or sign in; `reelmill token add` makes a token"),
    404: ("not_found", "the addresses are in api/v1/openapi.json"),
    405: ("method_not_allowed", "the header Allow has the methods of this address"),
    408: ("too_slow", "send the whole request without long pauses"),
    413: ("too_large", "split the file, or raise REELMILL_CONSOLE_BODY_MB"),
    415: ("unsupported_media_type", "say with Content-Type what the body is"),
    421: ("wrong_host", "use a name that the console is reached by, or add this one to REELMILL_CONSOLE_HOSTS"),
    422: ("invalid_request", "correct what is named and send the request again"),
    429: ("too_many_requests", "wait for as long as Retry-After says"),
    503: ("busy", "ask again after Retry-After"),
}


class Refusal(HTTPException):
    """A request that is refused for what it is over HTTP: its size, its pace, its form, its sender.

    Args:
        status: HTTP status.
        detail: What is wrong, for people.
        headers: Further headers of the answer.
        fields: Further members of the problem, such as `lines`.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.fields = dict(fields or {})


def status_of(err: ReelmillError) -> int:
    """Return the HTTP status of an error."""
    return next((STATUSES[kind] for kind in type(err).__mro__ if kind in STATUSES), 500)


def problem(status: int, code: str, detail: str, *, title: str = "", advice: str = "", **fields: Any) -> dict[str, Any]:
    """Return the members of a problem."""
    return {
        "type": f"urn:reelmill:problem:{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:_MOST_DETAIL],
        "code": code,
        "advice": advice,
        **fields,
    }


def answer(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **fields: Any
) -> JSONResponse:
    """Return a problem as a response; the arguments are those of `problem`."""
    again = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    body = problem(status, code, detail, **fields)
    return JSONResponse(body, status, {**again, **(headers or {})}, media_type=MEDIA_TYPE)


def answer_to(err: ReelmillError, **fields: Any) -> JSONResponse:
    """Return the answer to an error of ours."""
    return answer(status_of(err), err.code, str(err), title=_title(err), advice=advice_of(str(err)), **fields)


def refusal(status: int, detail: str, headers: Mapping[str, str] | None = None, **fields: Any) -> JSONResponse:
    """Return the answer to a request that is refused for what it is over HTTP."""
    code, advice = _CODES.get(status, (HTTPStatus(status).phrase.lower().replace(" ", "_"), ""))
    return answer(status, fields.pop("code", code), detail, headers=headers, advice=advice, **fields)


def advice_of(message: str) -> str:
    """Return what a message says to do: the part behind its last semicolon; empty if it has none."""
    return message.rpartition("; ")[2] if "; " in message else ""


def problem_of(err: Exception) -> JSONResponse:
    """Return the answer to any error as a problem."""
    if isinstance(err, ReelmillError):
        return answer_to(err)
    if isinstance(err, RequestValidationError):
        found = [f"{_place(item['loc'])}: {item['msg']}" for item in err.errors()[:20]]
        return refusal(422, "; ".join(found))
    if isinstance(err, HTTPException):
        fields = err.fields if isinstance(err, Refusal) else {}
        return refusal(err.status_code, str(err.detail), err.headers, **fields)
    return answer(500, ReelmillError.code, BUG, advice="report it with the lines of the log")


def _place(where: Sequence[object]) -> str:
    return ".".join(str(part) for part in where)[:80]


def _title(err: ReelmillError) -> str:
    return (inspect.getdoc(type(err)) or "").partition(".")[0].partition(";")[0]
