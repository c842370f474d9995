"""The boundary of the command line: where errors become one line on stderr and an exit status."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
import typer

from reelmill_common.command_help import HelpfulGroup
from reelmill_common.config.extras import require_extra
from reelmill_common.errors import ReelmillError
from reelmill_producer.cli.console import inform, quiet_if_unread

INTERRUPTED = 130
"""Exit status of a command that ended by Ctrl-C, as a shell reports it: 128 + SIGINT."""

WORKER_COMMANDS = ("worker", "model")
"""Commands of the entry point group `reelmill.commands`; they need the worker extra."""

EPILOG = """\b
Exit status: 0 done, 2 wrong usage, 65 a job or prompt file is wrong, 66 no
such batch or job, 69 a clip was not rendered, 70 a bug in Reelmill, 74 the
clip store failed, 75 try again later, 77 not allowed, 78 wrong settings,
130 interrupted, 141 the output has no reader any more.

\b
Without REELMILL_REDIS_URL the farm is embedded: it runs on this machine.
Try: reelmill render "a red fox in the snow"
"""


class CommandLine(HelpfulGroup):
    """The root of the command line."""

    def invoke(self, ctx: Any) -> Any:
        """Run one command.

        Raises:
            typer.Exit: With the exit status of the error that ended it, if one did.
        """
        with quiet_if_unread():
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ReelmillError as err:
            inform(f"error: {err}".replace("\n", "\n  "))  # no line of a message can pass for a line of ours
            raise typer.Exit(err.exit_status) from err
        except KeyboardInterrupt as err:
            inform("interrupted")
            raise typer.Exit(INTERRUPTED) from err

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse arguments that are not UTF-8: neither Redis nor JSON could hold them.

        Raises:
            typer.BadParameter: An argument is not UTF-8.
        """
        for arg in args:
            if not _is_text(arg):
                raise typer.BadParameter(f"{ascii(arg)[:80]} is not UTF-8; write it in UTF-8, or rename the file")
        with quiet_if_unread():
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to run; refuse the worker's commands where they cannot work.

        Raises:
            InvalidSettings: The worker extra is not installed.
        """
        if args and args[0] in WORKER_COMMANDS and "--help" not in args:
            require_extra("worker", f"reelmill {args[0]}")
        return super().resolve_command(ctx, args)


def log_to_stderr() -> None:
    """Send our logs, from warnings on, to stderr as text."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _is_text(arg: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in arg)
