"""`Console`: what one process shares."""

from __future__ import annotations

from fixtures.valkey import free_port
from reelmill_common.settings import Settings
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.console import Console


def test_nothing_is_connected_when_it_is_made() -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", console_followers=3)

    console = Console(settings=settings, is_open=True, connection=FarmConnection(settings))

    console.feed.require_room()
    console.feed.stop()
    console.connection.close()
