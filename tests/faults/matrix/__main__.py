"""`python -m faults.matrix`: run the fault matrix, or some rows of it, and write the page.

Status 0: every row that ran kept its promise. 1: some did not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from faults.matrix.row import play
from faults.matrix.rows import FAULTS, ORDER


def main(arguments: Sequence[str]) -> int:
    """Run the rows that were asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m faults.matrix", description=__doc__)
    usual = [name for name in ORDER if not name.startswith("soak")]
    parser.add_argument(
        "--only", nargs="*", default=usual, choices=ORDER, help="rows to run; default: all but the soaks"
    )
    parser.add_argument("--jobs", type=int, default=0, help="jobs of each row, instead of its own number")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the page (default: %(default)s)")
    options = parser.parse_args(arguments)
    wanted = [fault for fault in FAULTS if fault.name in options.only]
    return play(wanted, options.out, ORDER, jobs=options.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
