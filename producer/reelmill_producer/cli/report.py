"""The command `report`: the outcome of a batch, printed and as a contact sheet in the store."""

from __future__ import annotations

from reelmill_common.report.summary import summary
from reelmill_common.report.write import make
from reelmill_producer.cli.console import inform, print_text
from reelmill_producer.cli.options import BatchName, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def report(batch: BatchName, *, json: Json = False) -> None:
    """Write a batch's contact sheet into the store and print the batch's outcome.

    The sheet, `reports/BATCH/sheet.html`, is complete in itself. Workers write it on their own when a batch ends.
    """
    with reading(batch) as farm:
        facts, key = make(farm.ledger, farm.store, batch, farm.settings)
        where = farm.store.url(key)
    if json:
        print_json({**facts.record(), "sheet": where})
        return
    print_text(summary(facts))
    inform(f"contact sheet: {where}")
