"""The command `up`: a farm on this machine, with its console."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures.cli import started
from fixtures.visitor import Visitor


def test_a_farm_of_this_machine_has_a_console(tmp_path: Path) -> None:
    env = {
        "REELMILL_STATE_DIR": str(tmp_path),
        "REELMILL_PROFILE": "tiny",
        "REELMILL_RENDERER": "fixed:0.05",
        "REELMILL_CONSOLE_PORT": "0",
    }
    with started("up", "--open", env=env) as running:
        line = running.wait_for_line("the console is at")
        console = Visitor(url=re.findall(r"http://\S+/", line)[0])

        submitted = console("PUT", "batches/night", {"rows": ["a red ball"]})
        workers = console("GET", "workers").json["items"]
        running.interrupt()

        assert (submitted.status, submitted.json["added"]) == (200, 1)
        assert [worker["state"] for worker in workers] == ["ready"]
        assert running.wait() == 0
