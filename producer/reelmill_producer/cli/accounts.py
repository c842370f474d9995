"""The command `accounts`: what clips have cost, by owner or of one batch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.ledger import Account
from reelmill_common.prices import JOULES_PER_KWH, Prices
from reelmill_common.text.suggestions import did_you_mean
from reelmill_producer.cli import completion
from reelmill_producer.cli.options import Json, OnlyOwner
from reelmill_producer.cli.output import account_record, print_json, table
from reelmill_producer.cli.session import reading
from reelmill_producer.client import Reelmill

NOBODY = "(none)"
"""How the owner of batches that name none is shown."""
_DAYS = re.compile(r"([0-9]{1,4})d")


def accounts(
    *,
    owner: OnlyOwner = None,
    batch: Annotated[
        str,
        typer.Option(help="A batch instead of owners, while the farm knows it.", autocompletion=completion.batches),
    ] = "",
    since: Annotated[str, typer.Option(help="From this UTC day on: 7d ago, or 2026-11-01. Default: all.")] = "",
    json: Json = False,
) -> None:
    """Show what clips have cost: GPU time, energy, bytes and money.

    By owner, also of batches that were pruned. Money needs REELMILL_GPU_HOUR_PRICE or
    REELMILL_KWH_PRICE.
    """
    if batch and (since or owner is not None):
        raise typer.BadParameter("--batch is one total of all its days; leave --since and --owner out")
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
    rows = [(name or NOBODY, *_cells(account, prices)) for name, account in found.items()]
    head = (kind.upper(), "CLIPS", "REUSED", "GPU HOURS", "KWH", "GB", "WASTED", "COST")
    typer.echo(table(head, rows) if rows else "nobody has had clips made yet")


def _of_owners(farm: Reelmill, owner: str | None, since: str) -> dict[str, Account]:
    found = farm.ledger.accounts.by_owner(since=_day(since, farm.ledger.timetable.now()))
    if owner is None:
        return found
    if owner not in found:
        known = ", ".join(name or NOBODY for name in found) or "none"
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


def _day(text: str, now: datetime) -> float:
    """Return Unix seconds of a day's start; 0 for the beginning of time."""
    if not text:
        return 0.0
    try:
        if found := _DAYS.fullmatch(text):
            return (now - timedelta(days=int(found[1]))).timestamp()
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        raise InvalidJob(f"--since {text[:40]!r} is no day; use 7d for seven days ago, or 2026-11-01") from None
