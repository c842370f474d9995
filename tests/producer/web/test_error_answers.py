"""Error answers: the shape of an error is that of its address, wherever the request was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable

import openai
import pytest

from fixtures.visitor import Answer, Visitor, raw
from producer.video_steps import client_of
from reelmill_producer.web.limits import BURST_S

pytestmark = pytest.mark.services


def shape(answer: Answer) -> str:
    return "problem" if answer.headers["content-type"] == "application/problem+json" else next(iter(answer.json))


@pytest.mark.parametrize("root", ["", "/farm"])
def test_the_path_decides_the_shape_whatever_stops_the_request(make_console: Callable[..., Visitor], root: str) -> None:
    console = make_console(console_rate=0, console_root_path=root)
    ours, theirs = "/api/v1/batches", "/v1/videos"
    foreign, host = {"Origin": "https://evil.example"}, {"Host": "evil.example"}

    found = {
        path: [
            console("POST", path, {}, headers=foreign),
            console("GET", path, headers=host),
            console("POST", path, b"x", kind="image/png"),
            console("GET", f"{path}/nothing/there/at/all"),
            console("PATCH", path),
        ]
        for path in (ours, theirs)
    }

    assert [[answer.status for answer in answers] for answers in found.values()] == [[403, 421, 415, 404, 405]] * 2
    assert {shape(answer) for answer in found[ours]} == {"problem"}
    assert {shape(answer) for answer in found[theirs]} == {"error"}


def test_openais_client_reads_what_stops_it_before_a_route(make_console: Callable[..., Visitor]) -> None:
    console = make_console(console_rate=1, console_body_timeout_s=0.5)
    client = client_of(console.url, "any")
    with pytest.raises(openai.NotFoundError) as missing:
        client.get("/nothing", cast_to=dict[str, str])
    with pytest.raises(openai.RateLimitError) as limited:
        _ = [client.models.list() for _ in range(BURST_S + 1)]
    slow = raw(make_console(console_body_timeout_s=0.5), b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\n"
               b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")  # fmt: skip
    large = raw(make_console(), b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 16000001\r\n\r\n")  # fmt: skip

    assert (missing.value.code, missing.value.type) == ("not_found", "not_found_error")
    assert (limited.value.code, limited.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert int(limited.value.response.headers["retry-after"]) >= 1
    for said, status, code in ((slow, b"408", "too_slow"), (large, b"413", "too_large")):
        assert said.startswith(b"HTTP/1.1 " + status)
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == code
