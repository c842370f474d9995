"""The boundary of the command line: where errors become one line on stderr and an exit status."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import structlog
import typer

from reelmill_common.command_help import HelpfulGroup
from reelmill_common.errors import ReelmillError
from reelmill_common.extras import require_worker
from reelmill_common.text.terminal_text import printable

INTERRUPTED = 130
"""What a shell reports for a command that ended by Ctrl-C: 128 + SIGINT."""

UNREAD = 141
"""What a shell reports for a program that wrote into a pipe which nobody reads any more: 128 + SIGPIPE."""

WORKER_COMMANDS = ("worker", "model")
"""Of the entry point group `reelmill.commands`; they need the worker extra."""

EPILOG = """\b
Exit status: 0 done, 2 wrong usage, 65 a job or prompt file is wrong, 66 no
such batch or job, 69 a clip was not rendered, 70 a bug of ours, 74 the clip
store failed, 75 try again later, 78 wrong settings, 130 interrupted, 141
nobody reads the output any more.

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
        with _quiet_if_unread():
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
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
        with _quiet_if_unread():
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to run; refuse the worker's where they cannot work.

        Raises:
            InvalidSettings: The worker extra is not installed.
        """
        if args and args[0] in WORKER_COMMANDS and "--help" not in args:
            require_worker(f"reelmill {args[0]}")
        return super().resolve_command(ctx, args)


def tell(text: str) -> None:
    """Say something to the person; stdout stays data. Nothing in it steers the terminal."""
    typer.echo(printable(text, keep="\n"), err=True)


def say(text: str) -> None:
    """Print plain data that may hold words of others. Nothing in it steers the terminal."""
    typer.echo(printable(text, keep="\n"))


@contextmanager
def told_if_interrupted(text: str) -> Generator[None]:
    """Say what is so if the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        tell(text)
        raise


def require_reader() -> None:
    """Notice that nobody reads stdout any more before the next thing is printed, which may take hours.

    Raises:
        BrokenPipeError: So it is.
    """
    if _is_unread(sys.stdout):
        raise BrokenPipeError


@contextmanager
def _quiet_if_unread() -> Generator[None]:
    """End quietly if the reader of our output has gone, as for `reelmill status | head`.

    SIGPIPE stays ignored: Redis' sockets raise it too, and the embedded farm has to be stopped in order.

    Raises:
        typer.Exit: With status 141.
    """
    try:
        yield
    except BrokenPipeError as err:
        if not (_is_unread(sys.stdout) or _is_unread(sys.stderr)):
            raise  # of some socket or file: ours to report
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # what is still buffered is not written at exit
            os.dup2(nowhere, stream.fileno())
        raise typer.Exit(UNREAD) from err


def _is_unread(stream: TextIO) -> bool:
    poll = select.poll() if hasattr(select, "poll") else None  # Windows has none
    with suppress(OSError, ValueError):  # a test's stream has no number
        if poll is not None:
            poll.register(stream.fileno(), 0)
            return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False


def log_to_stderr() -> None:
    """Send our logs, from warnings on, to stderr as text."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _is_text(arg: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in arg)
