"""Servers: killed and started anew, and two behind one address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest

from fixtures.cli import started
from fixtures.visitor import Visitor, messages
from reelmill_common.errors import InvalidSettings
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.web.server import bound, make_server

ROWS = {"rows": [f"a fox crosses river number {number}" for number in range(50)]}


def test_what_a_killed_server_began_goes_on_at_another(
    settings: Settings, make_console: Callable[..., Visitor], ledger: Ledger
) -> None:
    """A follower of one server goes on at the other after its last event, and repeats a submit: nothing is doubled."""
    other = make_console(console_rate=0)
    with started("serve", "--open", "--port", "0", env=settings.to_env()) as running:
        assert running.process.stdout is not None
        one = Visitor(url=running.process.stdout.readline().strip())
        for number in range(4):
            (one, other)[number % 2]("PUT", f"batches/b{number}", ROWS)
        before = [item["id"] for item in islice(messages(one.lines("events?after=0-0")), 3)]
        running.process.kill()
        running.process.wait()

    repeated = [other("PUT", f"batches/b{number}", ROWS).json["added"] for number in range(4)]
    other("PUT", "batches/b4", ROWS)
    known = [event.event_id for event in ledger.events.read(after="0-0")]
    rest = messages(other.lines("events", {"Last-Event-ID": before[-1]}))
    after = [next(rest)["id"] for _ in known[len(before) :]]

    assert repeated == [0] * 4
    assert before + after == known
    assert [view.total for view in ledger.batches.all()] == [50] * 5


def test_an_end_closes_the_streams_of_events(settings: Settings) -> None:
    with started("serve", "--open", "--port", "0", env=settings.to_env()) as running:
        assert running.process.stdout is not None
        console = Visitor(url=running.process.stdout.readline().strip())
        lines = console.lines("events")
        assert next(lines) == "retry: 2000"

        running.interrupt()

        assert [line for line in lines if line.startswith("event")] == []
        assert running.wait() == 0


def test_an_open_console_is_for_this_machine_alone(settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match="--open lets everyone in"):
        make_server(replace(settings, console_address="0.0.0.0"), is_open=True)


def test_a_port_that_is_taken_is_told(settings: Settings) -> None:
    with bound(replace(settings, console_port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSettings, match=f"port {port} .*--port 0"):
            bound(replace(settings, console_port=port))
