"""What tests of videos and MCP share: a console of the test's own, and OpenAI's client of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
from openai import OpenAI

from reelmill_common.settings import Settings
from reelmill_producer.web.server import in_background


@contextmanager
def served(settings: Settings, **changes: Any) -> Iterator[str]:
    """Serve the console in this process; give its URL, with a slash at its end."""
    with in_background(replace(settings, console_port=0, **changes), is_open=False) as url:
        yield url


def client_of(url: str, token: str) -> OpenAI:
    """Return OpenAI's client, which tries nothing again, so that the first answer is seen."""
    return OpenAI(base_url=f"{url}v1", api_key=token, max_retries=0, timeout=60)


def ask(url: str, token: str, method: str, path: str, **options: Any) -> httpx2.Response:
    """Send one request without any client's help."""
    headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {}) if token else options.pop("headers", {})
    return httpx2.request(method, f"{url}{path}", headers=headers, timeout=60, **options)
