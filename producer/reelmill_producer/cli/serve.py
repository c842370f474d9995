"""The command `serve`: the console, a web page and an HTTP API."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Annotated

import typer

from reelmill_common.config.extras import require_extra
from reelmill_common.config.setting_values import root_path as root_path_value
from reelmill_common.settings import Settings
from reelmill_producer.cells.placement import served
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import read_settings


def serve(
    *,
    address: Annotated[str, typer.Option(help="Address to listen on. Default: REELMILL_CONSOLE_ADDRESS.")] = "",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0: any. Default: REELMILL_CONSOLE_PORT.")
    ] = None,
    root_path: Annotated[str, typer.Option(help="Path under which a reverse proxy shows it, as /farm.")] = "",
    open_: Annotated[
        bool, typer.Option("--open", help="Let everyone on this machine in without a token, as an operator.")
    ] = False,
    json: Json = False,
) -> None:
    """Serve the console, a web page and an HTTP API, until Ctrl-C; print its address.

    It keeps nothing itself: run as many as you like. Who comes in needs a token of `reelmill token add`, unless --open
    is given on a loopback address. Needs the extra reelmill[web].
    """
    require_extra("web", "reelmill serve")
    from reelmill_producer.web.server import address_of, bound, make_server  # noqa: PLC0415 - of the extra

    settings = _changed(served(read_settings()), address, port, root_path)
    server = make_server(settings, is_open=open_)
    with bound(settings) as listening:
        url = address_of(listening, settings)
        if json:
            print_json({"url": url, "open": open_})
        else:
            typer.echo(url)
        inform("the console answers there; Ctrl-C ends this")
        with suppress(KeyboardInterrupt):  # uvicorn has ended in order by then
            server.run([listening])


def _changed(settings: Settings, address: str, port: int | None, root: str) -> Settings:
    try:
        path = root_path_value(root) if root else settings.console_root_path
    except ValueError as err:
        raise typer.BadParameter(f"--root-path {root[:60]!r} {err}") from None
    return replace(
        settings,
        console_address=address or settings.console_address,
        console_port=settings.console_port if port is None else port,
        console_root_path=path,
    )
