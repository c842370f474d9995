"""Log set-up of the worker: structlog events, as JSON lines unless a person watches."""

from __future__ import annotations

import logging
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor

from reelmill_common.config.setting_values import LogFormat
from reelmill_common.text.terminal_text import printable, printable_json

_QUIET = ("amqp", "boto3", "botocore", "celery", "diffusers", "kombu", "s3transfer", "transformers", "urllib3")
"""Libraries whose info lines say per message what our own events say per clip; Celery's would also show labels."""


def configure(*, level: str, form: LogFormat, stream: TextIO) -> None:
    """Send our events and the libraries' log records to one stream, in one form.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `auto` is JSON unless the stream is a terminal.
        stream: Where lines go: stderr in a real worker.
    """
    text = form == "text" or (form == "auto" and stream.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    _install_handler(stream, number, shared, text=text)


def _install_handler(stream: TextIO, number: int, shared: list[Processor], *, text: bool) -> None:
    last: list[Processor] = (
        [
            _tame,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
        ]
        if text
        else [structlog.processors.JSONRenderer(ensure_ascii=False), _tame_json]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)


def _tame(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Let no record of a library and no error's message begin a line or steer a terminal; fields are quoted anyway."""
    event["event"] = printable(str(event["event"]))
    if "exception" in event:
        event["exception"] = printable(str(event["exception"]), keep="\n\t")
    return event


def _tame_json(_logger: object, _name: str, line: Any) -> str:
    return printable_json(str(line))
