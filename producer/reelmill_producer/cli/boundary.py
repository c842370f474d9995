"""The boundary of the command line: where errors become one line on stderr and an exit status."""

from __future__ import annotations

import importlib.util
import logging
import sys
from typing import Any

import structlog
import typer
from typer.core import TyperGroup

from reelmill_common.errors import InvalidSettings, ReelmillError
from reelmill_common.printable import printable

INTERRUPTED = 130
"""What a shell reports for a command that ended by Ctrl-C: 128 + SIGINT."""

WORKER_COMMANDS = ("worker", "model")
"""Of the entry point group `reelmill.commands`; they need the worker extra."""
_WORKER_MODULES = ("torch", "diffusers", "transformers", "safetensors", "av")

EPILOG = """\b
Exit status: 0 done, 2 wrong usage, 65 a job or prompt file is wrong, 66 no
such batch or job, 69 a clip was not rendered, 70 a bug of ours, 74 the clip
store failed, 75 try again later, 78 wrong settings, 130 interrupted.

\b
Without REELMILL_REDIS_URL the farm is embedded: it runs on this machine.
Try: reelmill render "a red fox in the snow"
"""


class CommandLine(TyperGroup):
    """The root of the command line."""

    def invoke(self, ctx: Any) -> Any:
        """Run one command.

        Raises:
            typer.Exit: With the exit status of the error that ended it, if one did.
        """
        try:
            return super().invoke(ctx)
        except ReelmillError as err:
            tell(f"error: {err}".replace("\n", "\n  "))  # no line of a message begins like one of ours
            raise typer.Exit(err.exit_status) from err
        except KeyboardInterrupt as err:
            tell("interrupted")
            raise typer.Exit(INTERRUPTED) from err

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse arguments that are not UTF-8: neither Redis nor JSON could hold them.

        Raises:
            typer.BadParameter: One is not.
        """
        for arg in args:
            if not _is_text(arg):
                raise typer.BadParameter(f"{ascii(arg)[:80]} is not UTF-8; give it in UTF-8, a file under another name")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to run; refuse the worker's where they cannot work.

        Raises:
            InvalidSettings: The worker extra is not installed.
        """
        if args and args[0] in WORKER_COMMANDS and "--help" not in args:
            _require_worker_extra(args[0])
        return super().resolve_command(ctx, args)


def tell(text: str) -> None:
    """Say something to the person; stdout stays data. Nothing in it steers the terminal."""
    typer.echo(printable(text, keep="\n"), err=True)


def say(text: str) -> None:
    """Print plain data that may hold words of others. Nothing in it steers the terminal."""
    typer.echo(printable(text, keep="\n"))


def log_to_stderr() -> None:
    """Send our logs, from warnings on, to stderr as text."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _is_text(arg: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in arg)


def _require_worker_extra(command: str) -> None:
    missing = [name for name in _WORKER_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidSettings(
            f"`reelmill {command}` needs {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} "
            "not installed; run pip install 'reelmill[worker]'"
        )
