"""`mcp`: nothing but the protocol is on stdout, and the end of stdin ends it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from fixtures.cli import environment, program
from producer.mcp_steps import error_of
from reelmill_common.settings import Settings

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def test_stdout_has_the_protocol_alone_and_stdin_ends_it(settings: Settings) -> None:
    ran = program("mcp", env=settings.to_env(), input=json.dumps(HELLO) + "\n")

    (answer,) = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.status, answer["id"], answer["result"]["serverInfo"]["name"]) == (0, 1, "reelmill")


def test_a_farm_that_is_away_is_an_answer_and_not_an_end(tmp_path: Path) -> None:
    env = environment({"REELMILL_REDIS_URL": "redis://:secret-word@127.0.0.1:1/0"})
    server = StdioServerParameters(command=sys.executable, args=["-m", "reelmill_producer", "mcp"], env=env)

    async def run() -> list[str]:
        with (tmp_path / "stderr").open("w") as errors:
            async with Client(stdio_client(server, errlog=errors)) as client:
                return [await error_of(client, "status"), await error_of(client, "submit", rows=["a fox"])]

    said = asyncio.run(run())

    assert all("[ledger_unavailable]" in text for text in said)
    assert "secret-word" not in "".join(said) + (tmp_path / "stderr").read_text()
