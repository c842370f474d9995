"""MCP: the SDK's own client works with a farm over HTTP with a token, and over stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from fixtures.cli import environment
from fixtures.farm import Farm
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from producer.mcp_steps import call, content_of, error_of, over_http
from producer.video_steps import ask, served
from reelmill_common.access import Role
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Claimed, Ledger
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

    made = found["clips"][0]
    content = await content_of(client, made["resource"])
    deleted = await call(client, "delete", target=f"night/{made['row']}")

    assert content == b"MP4 of " + made["row"].encode()
    assert deleted["deleted"]
    assert "has no row" in await error_of(client, "status", target=f"night/{made['row']}")
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


def test_a_clip_that_is_rendered_is_gone_when_its_worker_has_stopped(url: str, ledger: Ledger, hand: Hand) -> None:
    token = ledger.tokens.make("robot", Role.SUBMITTER, "ann")

    def stops(claimed: Claimed) -> None:
        wait_for(lambda: ledger.jobs.get(claimed.job_id).state is JobState.CANCEL_REQUESTED, what="the request")
        ledger.attempts.cancelled(claimed.job_id, claimed.token)

    async def run() -> None:
        async with over_http(url, token) as client:
            await call(client, "submit", rows=["a fox"], batch="night")
            claimed = await asyncio.to_thread(hand.claim)
            deleted, _ = await asyncio.gather(
                call(client, "delete", target=f"night/{claimed.row}"), asyncio.to_thread(stops, claimed)
            )
            assert deleted["deleted"]
            assert not ledger.jobs.find([claimed.job_id])
            assert "has no row" in await error_of(client, "delete", target=f"night/{claimed.row}")

    asyncio.run(run())


@pytest.mark.slow
def test_a_client_creates_polls_downloads_and_deletes_what_a_real_worker_makes(
    make_farm: Callable[..., Farm], tiny_model: Path
) -> None:
    farm = make_farm(model_dir=str(tiny_model), lease_s=60.0)
    farm.start()

    async def run(url: str) -> None:
        async with over_http(url, farm.ledger.tokens.make("robot", Role.SUBMITTER, "ann")) as client:
            await call(client, "submit", rows=[{"id": "fox", "prompt": "a fox", "frames": 5}], batch="night")
            done = await call(client, "wait", batch="night", timeout_s=90)
            (clip,) = (await call(client, "results", batch="night"))["clips"]
            content = await content_of(client, clip["resource"])
            deleted = await call(client, "delete", target="night/fox")

        assert (done["remaining"], clip["state"], content[4:8]) == (0, "succeeded", b"ftyp")
        assert deleted["deleted"]

    with served(farm.settings) as url:
        asyncio.run(run(url))
    assert farm.ledger.batches.get("night").total == 0


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
