"""The command `owner`: the shares and limits of owners."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from reelmill_common.ledger import OwnerView
from reelmill_producer.cli.options import Json, MaxInFlight, OwnerName, Weight
from reelmill_producer.cli.output import print_json, table
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import owner_record
from reelmill_producer.prompts.policy_options import NONE


def owner(
    name: OwnerName = None, *, weight: Weight = None, max_in_flight: MaxInFlight = None, json: Json = False
) -> None:
    """List owners, or show or change one's share and limit.

    Owners share the farm by weight at equal priority, and then the batches of an owner share what the owner has. An
    owner can be entered before it submits anything; '' is the owner of batches that name no owner.
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
        print_json(owner_record(view))
    else:
        typer.echo(f"weight {view.weight}, max in flight {view.max_in_flight or NONE}, {view.in_flight} in flight")


def _show_owners(views: Sequence[OwnerView], *, json: bool) -> None:
    if json:
        print_json({"owners": [owner_record(view) for view in views]})
        return
    rows = [
        (view.name or "''", str(view.weight), str(view.max_in_flight or NONE), str(view.in_flight)) for view in views
    ]
    typer.echo(table(("OWNER", "WEIGHT", "MAX IN FLIGHT", "IN FLIGHT"), rows) if rows else "no owners")
