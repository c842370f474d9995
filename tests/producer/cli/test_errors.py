"""Exit statuses: each one is documented, and wrong usage has its own."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures.cli import Cli
from reelmill_common import errors
from reelmill_producer.cli.errors import EPILOG, INTERRUPTED

DOCS = (Path(__file__).parents[3] / "docs/reference/commands.md").read_text()


def test_every_exit_status_of_an_error_is_documented() -> None:
    classes = [item for item in vars(errors).values() if isinstance(item, type)]
    statuses = {item.exit_status for item in classes if issubclass(item, errors.ReelmillError)}

    for status in {*statuses, 0, 2, INTERRUPTED}:
        assert f"| {status} |" in DOCS
        assert re.search(rf"\b{status}\b", EPILOG)


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    ran = cli("rendr", "a fox")

    assert (ran.status, ran.out) == (2, "")
    assert "rendr" in ran.err
