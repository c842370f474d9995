"""Completion in a shell: names that the farm knows. Nothing is offered, silently, if it does not answer in a second."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from threading import Thread
from zoneinfo import available_timezones

import structlog

from reelmill_common.contract import class_of
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.embedded import state_file

ANSWER_S = 1.0
"""Most seconds that a Tab waits for the farm."""
MOST = 200
"""Most names that are offered."""

Offer = Callable[[str], list[str]]
"""Returns the completions of what is typed so far."""


def one_of(*values: str) -> Offer:
    """Return a completion that offers fixed values."""

    def offer(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return offer


def batches(incomplete: str) -> list[str]:
    """Offer the batches, newest first."""
    return _offer(incomplete, lambda ledger: (view.name for view in ledger.batches.all()))


def targets(incomplete: str) -> list[str]:
    """Offer the batches, or, after `BATCH/`, its rows."""
    batch, is_job, _ = incomplete.partition("/")
    if not is_job:
        return batches(incomplete)
    return _offer(incomplete, lambda ledger: (f"{batch}/{job.row}" for job in ledger.jobs.every(batch)))


def workers(incomplete: str) -> list[str]:
    """Offer the workers."""
    return _offer(incomplete, lambda ledger: (view.name for view in ledger.workers.all()))


def targets_or_workers(incomplete: str) -> list[str]:
    """Offer the workers beside the batches, or a batch's rows."""
    return targets(incomplete) + ([] if "/" in incomplete else workers(incomplete))


def owners(incomplete: str) -> list[str]:
    """Offer the owners."""
    return _offer(incomplete, lambda ledger: (view.name for view in ledger.owners.all()))


def schedules(incomplete: str) -> list[str]:
    """Offer the schedules."""
    return _offer(incomplete, lambda ledger: (view.schedule.name for view in ledger.schedules.all()))


def tokens(incomplete: str) -> list[str]:
    """Offer the tokens' names."""
    return _offer(incomplete, lambda ledger: (view.name for view in ledger.tokens.all()))


def classes(incomplete: str) -> list[str]:
    """Offer the classes that workers have or had."""
    return _offer(incomplete, lambda ledger: sorted({class_of(lane) for lane in ledger.workers.served()} - {""}))


def webhooks(incomplete: str) -> list[str]:
    """Offer the webhooks' ids."""

    def ask(settings: Settings) -> Iterator[str]:
        from reelmill_common.notify.webhook_store import WebhookStore  # noqa: PLC0415 - of a few commands

        with WebhookStore.connect(settings) as store:
            yield from (view.webhook.id for view in store.webhooks())

    return _in_time(incomplete, ask)


def zones(incomplete: str) -> list[str]:
    """Offer the time zones."""
    return one_of(*sorted(available_timezones()))(incomplete)


def _offer(incomplete: str, pick: Callable[[Ledger], Iterable[str]]) -> list[str]:
    def ask(settings: Settings) -> Iterator[str]:
        with Ledger.connect(settings) as ledger:
            yield from pick(ledger)

    return _in_time(incomplete, ask)


def _in_time(incomplete: str, ask: Callable[[Settings], Iterator[str]]) -> list[str]:
    """Return the names that begin with a text; what the farm has not answered in time is left out."""
    found: list[str] = []

    def look() -> None:
        # A failure prints nothing: it would be written into the middle of the person's command line.
        with suppress(Exception):
            settings = Settings.from_env(os.environ)
            reached = state_file.attached(settings) if settings.embedded else settings
            found.extend(islice((name for name in ask(reached) if name.startswith(incomplete)), MOST))

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    return list(found)
