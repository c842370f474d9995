"""Filters the broker's messages: calls of the one task, as Reelmill writes them. Others are dropped and logged.

Celery trusts every client that can write to its broker. A call whose body is a list of two items, or whose task has no
name, raises out of its loop and ends the worker's parent. The message was not acknowledged, so it would come again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import bootsteps
from kombu.exceptions import ContentDisallowed, DecodeError

from reelmill_common.contract import LABEL_CHARS, TASK_RENDER

log = structlog.get_logger(__name__)

MOST_JOB_ID_CHARS = 64
MOST_GENERATION = 2**53
"""Redis counts no further in a script."""
MOST_SHOWN_CHARS = 2048
"""Longest header that is kept for Flower to show."""
MOST_BODY_BYTES = 16_384
"""A call by Reelmill has about 400."""


class Inbox(bootsteps.StartStopStep):
    """The consumer step between the broker and Celery's handling of a message."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        """Replace the consumer's handler: once, however often it connects."""
        super().__init__(parent, **kwargs)
        make_handler = parent.create_task_handler
        parent.create_task_handler = lambda *args, **options: guarded(make_handler(*args, **options))


def guarded(handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a handler that sees only calls by Reelmill, without the headers that Celery would obey."""

    def handle(message: Any) -> None:
        flaw = flaw_of(message)
        if not flaw:
            message.headers = _harmless(message.headers)
            handler(message)
            return
        log.error("message.dropped", why=flaw[:200])
        message.ack()

    return handle


def flaw_of(message: Any) -> str:
    """Return why a message is not a call by Reelmill; empty if it is one."""
    task = message.headers.get("task") if isinstance(message.headers, dict) else None
    if task != TASK_RENDER:
        return f"its task is {task!r:.80}, wanted {TASK_RENDER!r}"
    if len(message.body or "") > MOST_BODY_BYTES:
        return f"its body has {len(message.body):,} bytes, wanted at most {MOST_BODY_BYTES:,}"
    try:
        payload = message.payload
    except (ContentDisallowed, DecodeError, RecursionError) as err:
        return f"its body cannot be read: {err}"
    if not isinstance(payload, list) or len(payload) != 3 or payload[0] != [] or not isinstance(payload[2], dict):
        return f"its body is not a call: {payload!r:.80}"
    return _flaw_of_arguments(payload[1]) or _flaw_of_id(message.headers.get("id"), payload[1])


def _flaw_of_arguments(given: Any) -> str:
    if not isinstance(given, dict) or not {"job_id", "generation"} <= given.keys() <= {"job_id", "generation", "label"}:
        return f"its arguments are {given!r:.80}, wanted job_id, generation and label"
    job_id, generation, label = given["job_id"], given["generation"], given.get("label", "")
    if not isinstance(job_id, str) or len(job_id) > MOST_JOB_ID_CHARS:
        return f"its job_id is {job_id!r:.80}"
    if type(generation) is not int or not 0 <= generation <= MOST_GENERATION:
        return f"its generation is {generation!r:.80}"
    if not isinstance(label, str) or len(label) > LABEL_CHARS:
        return f"its label is {label!r:.80}"
    return ""


def _flaw_of_id(given: object, arguments: Mapping[str, Any]) -> str:
    wanted = f"{arguments['job_id']}.{arguments['generation']}"
    return "" if given == wanted else f"its id is {given!r:.80}, wanted {wanted!r}"


def _harmless(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers that are shown of a call, and none that delays, limits, repeats or chains it."""
    shown = {name: headers.get(name) for name in ("lang", "task", "id", "origin", "argsrepr", "kwargsrepr")}
    kept = {name: value for name, value in shown.items() if isinstance(value, str) and len(value) <= MOST_SHOWN_CHARS}
    return kept | {"retries": 0, "timelimit": [None, None], "eta": None, "expires": None, "root_id": headers["id"]}
