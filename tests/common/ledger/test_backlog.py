"""The backlog: what is left to do, and the workers that are there for it."""

from __future__ import annotations

import re
from importlib.resources import files

from common.ledger_steps import LANE, WORKER, begin, start_worker, submit, window
from fixtures.valkey import wait_for
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.ledger import Ledger, backlog
from reelmill_common.services.scheduler import Ticker


def test_a_backlog_has_what_is_left_and_the_workers_that_are_there(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 4, priority=7, weight=2, cap=3)
    first = milliseconds(ledger.timetable.now())  # rounded, where the ledger cuts off
    wait_for(lambda: milliseconds(ledger.timetable.now()) > first + 1, what="a later millisecond, for the order")
    ids = submit(ledger, "day", 3)
    begin(ledger)
    ledger.jobs.prioritize(ids[0], 9)
    ledger.jobs.pause(ids[1])
    ledger.timetable.set_window("day", spec := window(ledger, -3600, 3600))
    Ticker(worker=WORKER, window=spec).keep_hours(ledger, ledger.timetable.now())

    found = ledger.overview.backlog()

    night, day = found.batches
    assert (night.batch, night.priority, night.weight, night.cap, night.left) == ("night", 7, 2, 3, {LANE: 4})
    assert (day.window, day.shut, day.held, day.left) == (spec, False, 1, {LANE: 2})
    assert [(hand.lane, hand.live, hand.window) for hand in found.hands] == [(LANE, True, spec)]


def test_the_fields_of_a_batch_are_read_in_the_order_in_which_lua_sends_them() -> None:
    source = (files("reelmill_common.ledger") / "lua" / "backlog.lua").read_text("utf-8")
    (listed,) = re.findall(r"local FIELDS = \{(.*?)\}", source, re.DOTALL)

    assert tuple(re.findall(r"'([^']+)'", listed)) == backlog._FIELDS
