"""Flower for the tests of the dashboards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.cli import started
from fixtures.s3 import free_port
from producer.flower_pages import LOGIN
from reelmill_common.settings import Settings


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def dashboard(settings: Settings, port: int) -> Iterator[int]:
    with started("flower", "--port", str(port), env=settings.to_env() | {"FLOWER_BASIC_AUTH": LOGIN}) as running:
        running.wait_for_line("Flower listens")
        yield port
