"""The worker's log: one line per event, of one form."""

from __future__ import annotations

import io
import json
import logging

import structlog

from reelmill_worker import logs


def test_our_events_and_the_libraries_records_are_json_lines_of_one_form() -> None:
    stream = io.StringIO()

    logs.configure(level="info", form="auto", stream=stream)
    structlog.get_logger("reelmill").info("clip.rendered", key="night/0.mp4")
    logging.getLogger("kombu.connection").warning("broker is %s", "away")
    structlog.get_logger("reelmill").debug("claim.refused")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["clip.rendered", "broker is away"]
    assert lines[0]["key"] == "night/0.mp4"
    assert {"level", "timestamp"} <= lines[1].keys()


def test_celerys_lines_that_show_a_message_stay_quiet_at_info() -> None:
    stream = io.StringIO()

    logs.configure(level="info", form="json", stream=stream)
    logging.getLogger("celery.worker.strategy").info("Task reelmill.render received: a fox in the snow")

    assert stream.getvalue() == ""
