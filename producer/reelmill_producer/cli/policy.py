"""Commands about shares and limits: policy of a batch, owner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer

from reelmill_common.ledger import BatchView, OwnerView
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.errors import say
from reelmill_producer.cli.options import (
    After,
    AfterAny,
    BatchName,
    Expires,
    Json,
    MaxFailures,
    MaxInFlight,
    OwnerName,
    Priority,
    StartAfter,
    Weight,
)
from reelmill_producer.cli.output import batch_record, print_json, table
from reelmill_producer.cli.session import reading
from reelmill_producer.prompts.policy_options import NONE, PolicyOptions


def policy(  # noqa: PLR0913 - one parameter an option
    batch: BatchName,
    *,
    priority: Priority = None,
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    max_failures: MaxFailures = "",
    start_after: StartAfter = "",
    expires: Expires = "",
    after: After = None,
    after_any: AfterAny = None,
    json: Json = False,
) -> None:
    """Show a batch's policy, or change what is given of it.

    Acts on the next clip that starts. `none` takes a budget, a moment or what it waits for away.
    """
    change = PolicyOptions(
        priority=priority,
        weight=weight,
        max_in_flight=max_in_flight,
        max_failures=max_failures,
        start_after=start_after,
        expires=expires,
        after=after,
        after_any=after_any,
    ).change(datetime.now().astimezone())
    with reading() as farm:
        if change.given():
            farm.set_policy(batch, change)
        view = farm.batch(batch)
    if json:
        print_json(batch_record(view))
    else:
        say(_described(view))


def owner(
    name: OwnerName = None,
    *,
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    json: Json = False,
) -> None:
    """List owners, or show or change one's share and limit.

    Owners share the farm by weight at equal priority, and then their batches share what is the owner's. An owner may
    be entered before it submits anything; '' is the owner of batches that name none.
    """
    if name is None and (weight is not None or max_in_flight is not None):
        raise typer.BadParameter("--weight and --max-in-flight need the NAME of an owner")
    with reading() as farm:
        if name is None:
            _show_owners(farm.ledger.owners.all(), json=json)
            return
        if weight is None and max_in_flight is None:
            view = farm.ledger.owners.get(name)
        else:
            view = farm.ledger.owners.set(name, weight=weight, max_in_flight=max_in_flight)
    if json:
        print_json(_owner_record(view))
    else:
        typer.echo(f"weight {view.weight}, max in flight {view.max_in_flight or NONE}, {view.in_flight} in flight")


def _described(view: BatchView) -> str:
    rows = [
        ("priority", str(view.priority)),
        ("weight", str(view.weight)),
        ("max in flight", str(view.max_in_flight or NONE)),
        ("owner", view.owner or NONE),
        ("window", view.window or NONE),
        ("max failures", view.max_failures or NONE),
        ("start after", _time(view.start_after)),
        ("expires", _time(view.expires_at)),
        ("after", " ".join(view.after) or NONE),
        ("after any", " ".join(view.after_any) or NONE),
        ("class", view.worker_class or NONE),
    ]
    return "\n".join(f"{name}: {printable(value)}" for name, value in rows)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S %Z}" if seconds else NONE


def _show_owners(views: Sequence[OwnerView], *, json: bool) -> None:
    if json:
        print_json({"owners": [_owner_record(view) for view in views]})
        return
    rows = [
        (view.name or "''", str(view.weight), str(view.max_in_flight or NONE), str(view.in_flight)) for view in views
    ]
    typer.echo(table(("OWNER", "WEIGHT", "MAX IN FLIGHT", "IN FLIGHT"), rows) if rows else "no owners")


def _owner_record(view: OwnerView) -> dict[str, Any]:
    return {
        "owner": view.name,
        "weight": view.weight,
        "max_in_flight": view.max_in_flight,
        "in_flight": view.in_flight,
    }
