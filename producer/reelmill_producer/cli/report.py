"""The command `report`: what became of a batch, here and as a contact sheet in the store."""

from __future__ import annotations

from reelmill_common.report.summary import summary
from reelmill_common.report.write import make
from reelmill_producer.cli.errors import say, tell
from reelmill_producer.cli.options import BatchName, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def report(batch: BatchName, *, json: Json = False) -> None:
    """Write a batch's contact sheet into the store and print what became of the batch.

    The sheet, `reports/BATCH/sheet.html`, is complete in itself. Workers write it by themselves when a batch ends.
    """
    with reading() as farm:
        facts, key = make(farm.ledger, farm.store, batch, farm.settings)
        where = farm.store.url(key)
    if json:
        print_json({**facts.record(), "sheet": where})
        return
    say(summary(facts))
    tell(f"contact sheet: {where}")
