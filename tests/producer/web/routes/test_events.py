"""Events over HTTP: who hears what, and how many may."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace

from fixtures.visitor import Visitor, messages
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger


def test_a_place_that_is_not_an_id_is_refused(console: Visitor) -> None:
    assert console("GET", "events", after="yesterday").status == 422
    assert console("GET", "batches/none/events").status == 404


def test_an_owner_hears_of_its_own_batches(make_console: Callable[..., Visitor], ledger: Ledger) -> None:
    console = make_console(is_open=False, console_rate=0)
    boss = replace(console, token=ledger.tokens.make("boss", Role.OPERATOR))
    mine = replace(console, token=ledger.tokens.make("me", Role.VIEWER, "me"))
    boss("PUT", "batches/theirs", {"rows": ["a fox"]}, owner="them")
    boss("PUT", "batches/mine", {"rows": ["a fox"]}, owner="me")

    first = next(messages(mine.lines("events?after=0-0")))

    assert json.loads(first["data"])["batch"] == "mine"
    assert mine("GET", "events", batch="theirs").status == 404


def test_no_more_follow_than_the_settings_allow(make_console: Callable[..., Visitor]) -> None:
    console = make_console(console_followers=1)
    opened = threading.Event()

    def follow() -> None:
        for _ in console.lines("events"):
            opened.set()

    threading.Thread(target=follow, daemon=True).start()
    assert opened.wait(20)

    answer = console("GET", "events")

    assert (answer.status, answer.code) == (503, "busy")
