"""The commands `token …`: who may come in by `reelmill serve`, the page and MCP, as what, and for how long."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reelmill_common.access import Role
from reelmill_common.calendar.time_text import time_at
from reelmill_common.ledger.tokens import TokenView
from reelmill_producer.cli import completion
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, TokenName
from reelmill_producer.cli.output import print_json, table, time_text
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import record_of

_FIELDS = "name role owner created_at expires_at used_at expired"

token = typer.Typer(no_args_is_help=True, help="Let people and programs in by tokens: with a role, for an owner.")


@token.command("add", epilog="Try: reelmill token add ann --role submitter --owner ann --expires 30d")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the token: whose it is, or what for.")],
    *,
    role: Annotated[
        Role, typer.Option(help="viewer reads; submitter also submits and steers; operator does all, for all owners.")
    ],
    owner: Annotated[
        str | None,
        typer.Option(
            help="Only what belongs to this owner; '' is the owner of batches that name none. Default: all.",
            autocompletion=completion.owners,
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option(help="When it is refused: 30d from now, or 2026-12-24T22:00. Default: never.")
    ] = "",
    json: Json = False,
) -> None:
    """Make a token and print it, once: the farm keeps a hash of it.

    Programs send it as `Authorization: Bearer TOKEN`, people sign in with it in the browser.
    """
    with reading() as farm:
        tokens, now = farm.ledger.tokens, farm.ledger.timetable.now()
        expires_at = time_at("--expires", expires, now).timestamp() if expires else None
        text = tokens.make(name, role, owner, expires_at)
    if json:
        print_json({"token": text, "name": name, "role": role.value, "owner": owner, "expires_at": expires_at})
    else:
        typer.echo(text)
    inform(f"token {name}: {_rights(role, owner)}, expires {time_text(expires_at)}; it is not shown again")


@token.command("list", epilog="Try: reelmill token list")
def list_tokens(*, json: Json = False) -> None:
    """List the tokens, without their texts."""
    with reading() as farm:
        views = farm.ledger.tokens.all()
    if json:
        print_json({"tokens": [_record(view) for view in views]})
        return
    rows = [
        (
            view.name,
            view.role.value,
            _owner(view.owner),
            "expired" if view.expired else time_text(view.expires_at),
            time_text(view.used_at),
        )
        for view in views
    ]
    typer.echo(table(("TOKEN", "ROLE", "OWNER", "EXPIRES", "LAST USED"), rows) if rows else "no tokens")


@token.command("revoke", epilog="Try: reelmill token revoke ann")
def revoke(name: TokenName) -> None:
    """Revoke a token: who holds it is refused from now on."""
    with reading() as farm:
        farm.ledger.tokens.revoke(name)
    typer.echo("revoked")


def _record(view: TokenView) -> dict[str, Any]:
    return record_of(view, _FIELDS)


def _rights(role: Role, owner: str | None) -> str:
    return f"{role.value} of {'all owners' if owner is None else f'owner {owner!r}'}"


def _owner(owner: str | None) -> str:
    return "all" if owner is None else owner or "''"
