"""Text for people, on stdout and stderr: it cannot steer the terminal, and a reader that has gone ends the command."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TextIO

import typer

from reelmill_common.text.terminal_text import printable

UNREAD = 141
"""Exit status of a program that wrote into a closed pipe, as a shell reports it: 128 + SIGPIPE."""


def inform(text: str) -> None:
    """Print text for the person on stderr; stdout stays data. Nothing in it steers the terminal."""
    typer.echo(printable(text, keep="\n"), err=True)


def print_text(text: str) -> None:
    """Print plain data that may hold untrusted text on stdout. Nothing in it steers the terminal."""
    typer.echo(printable(text, keep="\n"))


@contextmanager
def informed_on_interrupt(text: str) -> Generator[None]:
    """Print a text on stderr if the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        inform(text)
        raise


def require_reader() -> None:
    """Check that stdout still has a reader before a wait for the next thing to print, which may take hours.

    Raises:
        BrokenPipeError: It has none.
    """
    if _is_unread(sys.stdout):
        raise BrokenPipeError


@contextmanager
def quiet_if_unread() -> Generator[None]:
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
