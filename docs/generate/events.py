"""The reference of events, made from `EventName`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from reelmill_common.ledger.event_names import EventName

PATH = Path("docs/reference/events.md")

_HEAD = """# Events

What happens on a farm is an event in a stream of the ledger, which keeps about the newest 50,000. `watch --json` prints
events, [webhooks](../webhooks.md) send them, and `ledger.events` reads them. Names and fields are public: new ones are
added, none is renamed.

Every event has its id in the stream, which begins with Unix milliseconds on Redis' clock, and a batch, a job's id and a
worker's Celery node name (`gpu0@render-3`), which are empty where *about* does not name them. A job's event names the
worker only if that worker holds or held its lease. All further fields are text.

This page is made from `common/reelmill_common/ledger/event_names.py`.
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    for noun, names in groupby(EventName, key=lambda name: name.partition(".")[0]):
        yield f"\n## {noun.capitalize()}\n\n| event | about | meaning | fields |\n| --- | --- | --- | --- |\n"
        for name in names:
            fields = "; ".join(f"`{field}`: {meaning}" for field, meaning in name.fields.items())
            yield f"| `{name}` | {', '.join(name.about)} | {name.meaning} | {fields} |\n"
