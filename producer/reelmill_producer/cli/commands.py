"""Every command in one table, and the entry point of the `reelmill` program; a command is imported when it is run."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from io import TextIOWrapper
from types import FrameType
from typing import Annotated, Any

import typer
import typer.main

from reelmill_common import __version__
from reelmill_common.command_help import HelpfulGroup
from reelmill_common.config.extras import install_command
from reelmill_common.errors import InvalidSettings, ReelmillError
from reelmill_producer.cli import panels
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.errors import EPILOG, WORKER_COMMANDS, CommandLine, log_to_stderr

GROUP = "reelmill.commands"

COMMANDS = {
    "render": 'reelmill render "a red fox in the snow" --seed 7',
    "submit": "reelmill submit examples/prompts.csv --wait",
    "watch": "reelmill watch prompts",
    "status": "reelmill status --json",
    "why": "reelmill why prompts",
    "logs": "reelmill logs prompts",
    "top": "reelmill top",
    "report": "reelmill report prompts",
    "accounts": "reelmill accounts --since 7d",
    "show": "reelmill show clip.mp4",
    "rerender": "reelmill rerender clip.json",
    "results": "reelmill results prompts",
    "export": "reelmill export prompts",
    "download": "reelmill download prompts clips",
    "archive": "reelmill archive prompts",
    "restore": "reelmill restore",
    "audit": "reelmill audit prompts",
    "prune": "reelmill prune --older 30d --dry-run",
    "cancel": "reelmill cancel prompts",
    "pause": "reelmill pause prompts",
    "resume": "reelmill resume prompts",
    "retry": "reelmill retry prompts",
    "prioritize": "reelmill prioritize prompts 9",
    "policy": "reelmill policy prompts --weight 2 --max-failures 5%",
    "owner": "reelmill owner studio --weight 2 --max-in-flight 4",
    "forgive": "reelmill forgive gpu0@render-3",
    "forget": "reelmill forget gpu0@render-3",
    "window": "reelmill window prompts '22:00-07:00 Europe/Vienna'",
    "plan": "reelmill plan --by 07:00 --tz Europe/Vienna",
    "up": "reelmill up",
    "serve": "reelmill serve --open",
    "demo": "reelmill demo --dir demo examples/prompts.csv",
    "doctor": "reelmill doctor",
    "verify": "reelmill verify clip.mp4",
    "provenance": "reelmill provenance init",
    "flower": "FLOWER_BASIC_AUTH=me:a-long-password reelmill flower",
    "metrics": "reelmill metrics --address 0.0.0.0",
    "webhook": "reelmill webhook add https://hooks.example.com/reelmill",
    "mcp": "reelmill mcp",
    "token": "reelmill token add ann --role submitter --owner ann --expires 30d",
    "schedule": "reelmill schedule add '0 22 * * *' prompts.csv --tz Europe/Vienna",
}
"""Every command, with the example that ends its help. Its function or group has its name, in the module of its name."""

_DASHBOARDS = ("flower", "metrics")
"""Commands whose module stands in `dashboards`, not here."""


class Commands(CommandLine):
    """The root of the command line, in the manner of `LazyGroup` in click's manual ("Lazily Loading Subcommands")."""

    PANELS = panels.PANELS
    REST = panels.REST

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Name every command."""
        return [*COMMANDS, *_plugins()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; for an unknown name all of them, so that the refusal can offer a similar one."""
        if cmd_name not in self.commands:
            self.commands.update(_load(cmd_name) if cmd_name in COMMANDS else _plugins())
        if cmd_name not in self.commands:
            for name in COMMANDS:
                self.commands.update(_load(name))
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    name="reelmill",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A list of prompts and some GPUs become a bucket of finished clips.",
    epilog=EPILOG,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's signature
    if asked:
        typer.echo(f"reelmill {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Make a group of an app to which no command was added: `Commands` finds them."""


def main() -> None:
    """Run the command line; does not return."""
    for stream in (sys.stdout, sys.stderr):
        if (
            isinstance(stream, TextIOWrapper) and stream.errors == "strict"
        ):  # letters that the encoding lacks are shown escaped
            stream.reconfigure(errors="backslashreplace")
    log_to_stderr()
    signal.signal(signal.SIGTERM, _interrupt)  # systemd and docker stop us so: drain as for Ctrl-C
    try:
        app(prog_name="reelmill")  # also for `python -m`: completion goes by it
    except Exception:  # noqa: BLE001 - the boundary: a bug of ours gets its traceback and its exit status
        traceback.print_exc()
        inform("error: this is a bug in Reelmill; please report it with the lines above")
        sys.exit(ReelmillError.exit_status)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _load(name: str) -> Mapping[str, Any]:
    """Import one command of ours and return it by its name: `reelmill status` need not wait for the other modules."""
    folder = "dashboards" if name in _DASHBOARDS else "cli"
    found = getattr(import_module(f"reelmill_producer.{folder}.{name}"), name)
    holder, epilog = _holder(), f"Try: {COMMANDS[name]}"
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name, cls=HelpfulGroup, epilog=epilog)
    else:
        holder.command(name, epilog=epilog)(found)
    return typer.main.get_group(holder).commands


@cache
def _plugins() -> Mapping[str, Any]:
    """Import the commands of other packages: the worker's, or stand-ins for them."""
    holder, found = _holder(), False
    for entry in entry_points(group=GROUP):
        try:
            holder.add_typer(entry.load(), rich_help_panel=None)
        except ImportError as err:
            _add_missing(holder, str(err))
        found = True
    if not found:
        _add_missing(holder, "the package is not installed")
    return typer.main.get_group(holder).commands


def _holder() -> typer.Typer:
    return typer.Typer(rich_markup_mode=None)


def _add_missing(holder: typer.Typer, why: str) -> None:
    """Add stand-ins for the worker's commands, so that they say what to do instead of being unknown."""

    def missing() -> None:
        raise InvalidSettings(f"this command cannot be loaded ({why}); run {install_command('worker')}")

    for name in WORKER_COMMANDS:
        holder.command(
            name,
            help="Not available: needs the extra reelmill[worker].",
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(missing)
