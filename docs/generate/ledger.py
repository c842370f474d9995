"""The reference of the ledger's keys and fields, made from its schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reelmill_common.ledger.schema import KEYS, STATES
from reelmill_common.ledger.worker_info import MEANINGS

PATH = Path("docs/reference/ledger.md")

_HEAD = f"""# Keys and fields of the ledger

What Redis holds of a farm. Every key begins with `reelmill:{{FARM}}:`, which is left out here; the braces keep a farm
on one node. Only the functions in `common/reelmill_common/ledger/lua` write it; Celery's queues are separate. Times
are Unix milliseconds on Redis' clock, numbers are decimal text, and a state is one letter:
{STATES}.

To look at a job: `HGETALL reelmill:{{main}}:job:ID`. Do not write: sets and counters follow from states, and only the
functions keep them together ([decision 0002](../decisions/0002-ledger.md)).

This page is made from `common/reelmill_common/ledger/schema.py`.
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    yield "\n## All keys\n\n| key | type | holds |\n| --- | --- | --- |\n"
    for name, key in KEYS.items():
        yield f"| `{name}` | {key.type} | {key.meaning} |\n"
    for name, key in KEYS.items():
        if key.fields:
            yield f"\n## `{name}`: {key.meaning}\n\n| field | meaning |\n| --- | --- |\n"
            yield from (f"| `{field}` | {meaning} |\n" for field, meaning in key.fields.items())
    yield "\n## `WorkerInfo`: JSON in `info` of `worker:NAME`\n\n| field | meaning |\n| --- | --- |\n"
    yield from (f"| `{field}` | {meaning} |\n" for field, meaning in MEANINGS.items())
