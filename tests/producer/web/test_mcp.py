"""MCP: the SDK's own client works with a farm over HTTP with a token, and over stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from fixtures.cli import environment
from fixtures.hand import Hand
from producer.mcp_steps import call, over_http
from producer.video_steps import ask, served
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.web.mcp_tools import UNTRUSTED

pytestmark = pytest.mark.services


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with served(settings, console_rate=0) as url:
        yield url


async def a_night(client: Client, hand: Hand) -> None:
    """Check, submit, follow, make, wait and fetch, as a model would."""
    rows: list[Any] = ["a red fox in the snow", {"prompt": "an owl at dusk", "seed": 7, "id": "owl"}, "a hare"]
    checked = await call(client, "dry_run", rows=rows, batch="night")
    submitted = await call(client, "submit", rows=rows, batch="night")
    again = await call(client, "submit", rows=rows, batch="night")
    reason = await call(client, "why", target="night/owl")
    for _ in range(2):
        hand.finish(await asyncio.to_thread(hand.claim))
    cancelled = await call(client, "cancel", target="night")
    waited = await call(client, "wait", batch="night", timeout_s=30)
    found = await call(client, "results", batch="night", limit=2)

    assert (checked["rows"], checked["new"], checked["bad_count"]) == (3, 3, 0)
    assert (submitted["batch"], submitted["added"], again["added"], again["unchanged"]) == ("night", 3, 0, 3)
    assert reason[UNTRUSTED]["sentence"]
    assert (cancelled["cancelled"], cancelled["unconfirmed"]) == (1, 0)
    assert (waited["clips"], waited["remaining"], waited["counts"]["succeeded"]) == (3, 0, 2)
    assert [clip["state"] for clip in found["clips"]] == ["succeeded", "succeeded"]
    assert found["next_start"] == 2
    assert (await call(client, "status", target="night/owl"))["seed"] == 7
    assert [batch["batch"] for batch in (await call(client, "status"))["batches"]] == ["night"]


def test_a_client_renders_a_batch_over_http(url: str, ledger: Ledger, hand: Hand) -> None:
    token = ledger.tokens.make("robot", Role.SUBMITTER, "ann")

    async def run() -> None:
        async with over_http(url, token) as client:
            await a_night(client, hand)

    asyncio.run(run())
    assert ledger.batches.get("night").owner == "ann"


def test_a_client_renders_a_batch_over_stdin_and_stdout(settings: Settings, ledger: Ledger, hand: Hand) -> None:
    command = [sys.executable, "-m", "reelmill_producer", "mcp"]
    server = StdioServerParameters(command=command[0], args=command[1:], env=environment(settings.to_env()))

    async def run() -> None:
        async with Client(server) as client:
            await a_night(client, hand)

    asyncio.run(run())


def test_the_door_is_closed_without_a_valid_token_and_to_pages(url: str, ledger: Ledger) -> None:
    token = ledger.tokens.make("robot", Role.OPERATOR)
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    accept = {"Accept": "application/json, text/event-stream"}

    def status(token: str, **headers: str) -> int:
        return ask(url, token, "POST", "mcp", json=hello, headers=accept | headers).status_code

    assert status(token) == 200
    assert status(token, Origin=url.rstrip("/")) == 200
    assert [status(wrong) for wrong in ("", "rmt_wrong", token[:-1])] == [401] * 3
    assert status("", Cookie=f"reelmill_session={token}") == 401
    assert status("", Cookie=f"reelmill_session={token}", Authorization="Basic YTpi") == 401
    assert status("", **{"X-Reelmill-Token": token}) == 401
    assert status(token, Origin="https://evil.example") == 403
    ledger.tokens.revoke("robot")
    assert status(token) == 401
