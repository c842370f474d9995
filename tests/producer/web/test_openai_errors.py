"""OpenAI's errors: every kind of ours in the shape that its clients read."""

from __future__ import annotations

import json

import pytest

from reelmill_common.errors import InvalidJob, JobConflict, LedgerUnavailable, NotAllowed, NotFound, StoreUnavailable
from reelmill_producer.web.openai_errors import Unable, openai_error_of
from reelmill_producer.web.problems import Refusal


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
    answer = openai_error_of(err)

    param = "size" if isinstance(err, Unable) else None
    error = json.loads(bytes(answer.body))["error"]
    assert (answer.status_code, error) == (status, {"message": "no", "type": kind, "param": param, "code": code})
    assert ("retry-after" in answer.headers) == (status == 503)


def test_our_own_bug_says_nothing_of_itself() -> None:
    answer = openai_error_of(RuntimeError("the password is 1234"))

    assert answer.status_code == 500
    assert b"1234" not in bytes(answer.body)
