"""The command `export`: the outcome of each job of a batch, as JSON lines."""

from __future__ import annotations

from reelmill_producer.cli.options import BatchName, Favourites
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.results_file import is_favourite, results_of


def export(batch: BatchName, *, favourites: Favourites = False) -> None:
    """Print the outcome of a batch's jobs.

    JSON, one object a line for each job that has ended, in the order of submission.
    """
    with reading(batch) as farm:
        for result in results_of(farm, batch):
            if is_favourite(result) or not favourites:
                print_json(result)
