"""What tests of MCP share: the SDK's own client, and calls that must succeed or fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger


@asynccontextmanager
async def over_http(url: str, token: str) -> AsyncIterator[Client]:
    """Connect to a console with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{url}mcp", http_client=http)) as client,
    ):
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that must succeed; return what it answers."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def error_of(client: Client, tool: str, **arguments: Any) -> str:
    """Call a tool that must fail; return what it says."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def submit(ledger: Ledger, batch: str, owner: str, prompt: str = "a fox") -> None:
    """Submit the row `fox` of a batch."""
    job = RenderJob(batch=batch, row="fox", spec=RenderSpec(prompt=prompt, profile="tiny"))
    ledger.batches.submit(Batch(name=batch, owner=owner), [job])
