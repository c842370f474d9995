"""The command `watch`: the progress of a batch until it is done."""

from __future__ import annotations

from reelmill_common.errors import LedgerUnavailable
from reelmill_producer.cli import progress
from reelmill_producer.cli.options import BatchName, Json
from reelmill_producer.cli.output import batch_line
from reelmill_producer.cli.session import cell_settings, read_settings, require_history, session


def watch(batch: BatchName, *, json: Json = False) -> None:
    """Follow a batch until it is done.

    With --json each event is printed as it comes, from the batch's first on. Exits 69 unless all clips succeeded.
    """
    settings = cell_settings(read_settings(), [batch])
    require_history(settings)
    with session(settings) as opened:
        view = opened.farm.batch(batch)
        if opened.idle and view.remaining:
            raise LedgerUnavailable(f"{batch_line(view)}, and no farm runs; `reelmill up` goes on with it")
        ended = progress.follow(opened, batch, after="" if json else "$", events_as_json=json)
        progress.require_success(ended, opened.farm)
