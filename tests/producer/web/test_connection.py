"""The console while Redis is away: it says so at once, and goes on by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from fixtures.valkey import wait_for
from fixtures.visitor import Visitor, messages
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded.valkey import ValkeyServer

ASKED_AT_ONCE = 60
"""More than there are threads for requests."""


def timed(console: Visitor, path: str) -> tuple[int, float]:
    started = time.monotonic()
    return console("GET", path).status, time.monotonic() - started


def test_while_redis_hangs_all_are_refused_soon_and_then_served(
    own_valkey: ValkeyServer, settings: Settings, make_console: Callable[..., Visitor]
) -> None:
    console = make_console(redis_url=own_valkey.url, console_rate=0)
    console("PUT", "batches/night", {"rows": ["a fox"]})
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            first = list(pool.map(lambda _: timed(console, "batches/night"), range(ASKED_AT_ONCE)))
        then = [timed(console, "batches/night") for _ in range(3)]
        live = console("GET", "/healthz").status
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)

    assert {status for status, _ in first + then} == {503}
    assert max(took for _, took in first) < 15
    assert min(took for _, took in then) < 0.5
    assert live == 200
    wait_for(lambda: console("GET", "batches/night").status == 200, what="it answers again")


def test_a_follower_misses_nothing_while_redis_restarts(
    own_valkey: ValkeyServer, settings: Settings, make_console: Callable[..., Visitor]
) -> None:
    there = replace(settings, redis_url=own_valkey.url)
    console = make_console(redis_url=own_valkey.url, console_rate=0)
    with Reelmill(there) as farm:
        farm.submit_many(["a fox"], batch="b0")
        found = messages(console.lines("events?after=0-0"))
        got = [next(found)["id"]]

        own_valkey.stop()
        assert console("GET", "batches").status == 503
        again = ValkeyServer.start(own_valkey.folder, port=own_valkey.port)
        for number in range(1, 6):
            farm.submit_many(["a fox"], batch=f"b{number}")
        events = [event.event_id for event in farm.ledger.events.read(after="0-0")]
        missed: list[dict[str, str]] = []
        while not missed or missed[-1].get("id") != events[-1]:
            missed.append(next(found))
        got += [message["id"] for message in missed if "id" in message]
        again.stop()

    assert [message["event"] for message in missed if "id" not in message][:2] == ["away", "back"]
    assert len(events) >= 6
    assert got == events
