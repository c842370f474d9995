"""The command `audit`: what the ledger knows of clips, compared with the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer

from reelmill_common.errors import StoreError, StoreRefused
from reelmill_common.farm_mark import leave_mark, other_mark
from reelmill_producer.analysis.audit import LOST, Audit, Discrepancy, remove
from reelmill_producer.cli import completion
from reelmill_producer.cli.console import inform, print_text
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.client import Reelmill

AT_ONCE = 100
"""Jobs that one round trip queues again."""


def audit(
    batch: Annotated[
        str,
        typer.Argument(
            metavar="[BATCH]",
            help="Name of a batch. Default: all, and whatever else is in the store.",
            autocompletion=completion.batches,
        ),
    ] = "",
    *,
    requeue: Annotated[
        bool, typer.Option("--requeue", help="Queue again the jobs whose clips are missing or altered.")
    ] = False,
    remove_orphans: Annotated[
        bool,
        typer.Option("--remove-orphans", help="Remove objects that are certainly of no use: never a published clip."),
    ] = False,
    checksums: Annotated[
        bool, typer.Option("--checksums", help="Read every clip and compare its hash, not only its size.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Mark the store as this farm's, even if it has another farm's mark.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare the clips that the farm knows with what is in the store.

    Prints what is missing, altered or belongs to no job. Exits 74 if a clip is lost and was not queued again.
    """
    with reading(*filter(None, [batch])) as farm:
        if take_over:
            leave_mark(farm.ledger, farm.store, farm.settings.farm, replace=True)
            inform(f"the clip store is farm {farm.settings.farm}'s now")
        elif (mark := other_mark(farm.ledger, farm.store)) is not None:
            if requeue or remove_orphans:
                raise StoreRefused(f"nothing was changed: {mark.warning(farm.settings.farm)}")
            inform(mark.warning(farm.settings.farm))
        work = Audit(ledger=farm.ledger, store=farm.store, checksums=checksums)
        found = work.of_batch(batch) if batch else work.of_farm()
        counts: Counter[str] = Counter()
        for some in _pieces(found):
            queued = _requeue(farm, some) if requeue else 0
            removed = [_remove(farm, item) for item in some] if remove_orphans else [False] * len(some)
            for item, gone in zip(some, removed, strict=True):
                counts[item.kind.value] += 1
                counts["removable"] += item.removable and not gone
                _show(item, removed=gone, json=json)
            counts["requeued"] += queued
            counts["removed"] += sum(removed)
    summary = {"clips": work.clips, "objects": work.objects, **counts}
    if json:
        print_json({"kind": "summary", **summary})
    inform(f"{work.clips:,} clips and {work.objects:,} objects compared: {_summary(counts)}")
    if not requeue and any(counts[kind.value] for kind in LOST):
        raise typer.Exit(StoreError.exit_status)


def _pieces(found: Iterable[Discrepancy]) -> Iterator[list[Discrepancy]]:
    rest = iter(found)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _requeue(farm: Reelmill, found: list[Discrepancy]) -> int:
    return farm.redo([(item.job_id, item.clip) for item in found if item.kind in LOST])


def _remove(farm: Reelmill, item: Discrepancy) -> bool:
    return item.removable and remove(farm.ledger, farm.store, item)


def _show(item: Discrepancy, *, removed: bool, json: bool) -> None:
    if json:
        print_json({**asdict(item), "removed": removed})
        return
    where = f"{item.batch}/{item.row}" if item.row else item.keys[0]
    print_text(f"{item.kind.value} {where}: {item.why}{'; removed' if removed else ''}")


def _summary(counts: Counter[str]) -> str:
    found = [f"{count:,} {kind}" for kind, count in counts.items() if count and kind != "removable"]
    advice = []
    if not counts["requeued"] and any(counts[kind.value] for kind in LOST):
        advice.append("--requeue renders the lost clips again")
    if counts["removable"]:
        advice.append(f"--remove-orphans removes {counts['removable']:,} that are of no use")
    return "; ".join([", ".join(found) or "all is as it should be", *advice])
