"""Tokens from outside: guessed, sent where they do not belong, and looked for in logs and answers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fixtures.cli import Cli, Running, started
from fixtures.valkey import free_port, wait_for
from producer.video_steps import ask
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

pytestmark = pytest.mark.services


@pytest.fixture
def console(settings: Settings) -> Iterator[tuple[str, Running]]:
    """A real `reelmill serve` with the default limits: its URL, and the process."""
    port = free_port()
    with started("serve", "--port", str(port), env=settings.to_env()) as running:
        running.wait_for_line("the console answers")
        yield f"http://127.0.0.1:{port}/", running


def test_a_token_is_in_no_log_and_in_no_answer(console: tuple[str, Running], ledger: Ledger) -> None:
    url, running = console
    good = ledger.tokens.make("ann", Role.SUBMITTER, "ann")
    gone = ledger.tokens.make("gone", Role.OPERATOR)
    ledger.tokens.revoke("gone")

    answers = [
        ask(url, good, "GET", "api/v1/batches/nowhere"),
        ask(url, good, "POST", "v1/videos", json={"prompt": "a fox", "sede": 1}),
        ask(url, good, "PUT", "api/v1/batches/BAD", json={"rows": ["a fox"]}),
        ask(url, good, "POST", "mcp", content=b"not JSON", headers={"Content-Type": "application/json"}),
        ask(url, gone, "GET", "v1/videos"),
        ask(url, "", "GET", "v1/videos", params={"api_key": good}),
        ask(url, "", "GET", "v1/videos", headers={"Authorization": f"Basic {good}"}),
    ]
    running.interrupt()
    status = running.wait()

    texts = [answer.text + str(answer.headers) for answer in answers]
    secrets = [good, gone, good.removeprefix("rmt_"), gone.removeprefix("rmt_")]
    assert status in (0, 130)
    assert [answer.status_code for answer in answers[:3]] == [404, 400, 422]
    assert [answer.status_code for answer in answers[4:]] == [401] * 3
    assert not [secret for secret in secrets if secret in running.out + running.err + "".join(texts)]


def test_guesses_from_one_address_are_slowed_down(console: tuple[str, Running], ledger: Ledger) -> None:
    url, _ = console
    ledger.tokens.make("ann", Role.OPERATOR)

    answers = [ask(url, f"rmt_{number:043d}", "GET", "v1/videos").status_code for number in range(30)]

    assert set(answers) == {401, 429}
    assert answers.index(429) < 20


def test_a_revoked_token_is_refused_by_all_doors_with_the_next_request(
    console: tuple[str, Running], ledger: Ledger, cli: Cli
) -> None:
    url, _ = console
    token = cli("token", "add", "ann", "--role", "operator").out.strip()
    assert ask(url, token, "GET", "v1/videos").status_code == 200

    cli("token", "revoke", "ann")

    assert [ask(url, token, "GET", path).status_code for path in ("v1/videos", "api/v1/batches", "mcp")] == [401] * 3


def test_an_expired_token_is_refused_on_redis_clock(console: tuple[str, Running], ledger: Ledger) -> None:
    url, _ = console
    token = ledger.tokens.make("ann", Role.OPERATOR, None, ledger.timetable.now().timestamp() + 1.0)

    wait_for(lambda: ledger.tokens.all()[0].expired, what="the expiry")

    assert ask(url, token, "GET", "v1/videos").status_code == 401


def test_a_wrong_token_takes_as_long_wherever_it_differs(ledger: Ledger) -> None:
    """A lookup by hash cannot say how much of a token was right; a comparison letter by letter would."""
    text = ledger.tokens.make("ann", Role.OPERATOR)
    early, late = f"rmt_{'A' if text[4] != 'A' else 'B'}{text[5:]}", f"{text[:-1]}{'A' if text[-1] != 'A' else 'E'}"

    def fastest(token: str) -> float:
        times = []
        for _ in range(200):
            started_at = time.perf_counter()
            assert ledger.tokens.principal(token) is None
            times.append(time.perf_counter() - started_at)
        return min(times)

    one, two = fastest(early), fastest(late)

    assert 0.5 < one / two < 2.0


@pytest.mark.parametrize("path", ["<script>alert(1)</script>", "..%2f..%2fetc", "%00", "a" * 3000, "%0d%0aX-Evil: 1"])
def test_hostile_names_come_back_as_json_that_no_browser_runs(
    path: str, console: tuple[str, Running], ledger: Ledger
) -> None:
    url, _ = console
    token = ledger.tokens.make("ann", Role.OPERATOR)

    for place in (f"v1/videos/{path}", f"v1/videos/{path}/content", f"api/v1/batches/{path}"):
        answer = ask(url, token, "GET", place)

        assert answer.status_code in (400, 404, 422), place
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "x-evil" not in answer.headers
