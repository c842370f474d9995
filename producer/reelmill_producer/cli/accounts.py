"""The command `accounts`: what clips have cost, by owner or of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from reelmill_common.calendar.time_text import day_at
from reelmill_common.errors import NotFound
from reelmill_common.ledger import Account
from reelmill_common.prices import JOULES_PER_KWH, Prices
from reelmill_common.text.suggestions import did_you_mean
from reelmill_producer.cli import completion
from reelmill_producer.cli.options import Json, OnlyOwner
from reelmill_producer.cli.output import print_json, table
from reelmill_producer.cli.session import reading
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.records import account_record

NO_OWNER = "(none)"
"""How the owner of batches that name no owner is shown."""


def accounts(
    *,
    owner: OnlyOwner = None,
    batch: Annotated[
        str,
        typer.Option(
            help="Show this batch instead of owners, as long as the farm knows it.", autocompletion=completion.batches
        ),
    ] = "",
    since: Annotated[
        str, typer.Option(help="From this UTC day on: 7d (seven days ago), or 2026-11-01. Default: all.")
    ] = "",
    json: Json = False,
) -> None:
    """Show what clips have cost: GPU time, energy, bytes and money.

    By owner, including batches that were pruned. Money needs REELMILL_GPU_HOUR_PRICE or
    REELMILL_KWH_PRICE.
    """
    if batch and (since or owner is not None):
        raise typer.BadParameter("--batch shows one total of all its days; leave --since and --owner out")
    with reading() as farm:
        prices = Prices.of(farm.settings)
        if batch:
            found: Mapping[str, Account] = {batch: farm.batch(batch).account}
        else:
            found = _of_owners(farm, owner, since)
    kind = "batch" if batch else "owner"
    if json:
        records = [{kind: name, **account_record(account, prices)} for name, account in found.items()]
        print_json({"since": since or None, "accounts": records})
        return
    rows = [(name or NO_OWNER, *_cells(account, prices)) for name, account in found.items()]
    head = (kind.upper(), "CLIPS", "REUSED", "GPU HOURS", "KWH", "GB", "WASTED", "COST")
    typer.echo(table(head, rows) if rows else "no clips have been made yet")


def _of_owners(farm: Reelmill, owner: str | None, since: str) -> dict[str, Account]:
    found = farm.ledger.accounts.by_owner(
        since=day_at("--since", since, farm.ledger.timetable.now()).timestamp() if since else 0.0
    )
    if owner is None:
        return found
    if owner not in found:
        known = ", ".join(name or NO_OWNER for name in found) or "none"
        raise NotFound(f"no owner {owner!r}; {did_you_mean(owner, found)}known are {known}")
    return {owner: found[owner]}


def _cells(account: Account, prices: Prices) -> tuple[str, ...]:
    record = account_record(account, prices)
    energy = "-" if account.energy_j is None else f"{account.energy_j / JOULES_PER_KWH:,.3f}"
    return (
        f"{account.clips:,}",
        f"{account.reused:,}",
        f"{account.gpu_s / 3600:,.3f}",
        energy + (" of some" if 0 < account.metered < account.clips else ""),
        f"{account.size_bytes / 1e9:,.3f}",
        f"{account.wasted_gpu_s / 3600:,.3f}",
        prices.text(record["cost"]) or "-",
    )
