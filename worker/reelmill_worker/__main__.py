"""`python -m reelmill_worker …`: the worker's commands without the producer's command line around them."""

from __future__ import annotations

import sys

from reelmill_common.errors import ReelmillError
from reelmill_worker.commands.worker import app


def main() -> None:
    """Run one command; an error that we raise on purpose is one line and its exit status."""
    try:
        app()
    except ReelmillError as err:
        sys.stderr.write(f"error: {err}\n")
        sys.exit(err.exit_status)


if __name__ == "__main__":
    main()
