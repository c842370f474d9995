"""Completion in a shell: what Tab offers, and that it is quick and silent whatever the farm does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from fixtures.cli import Cli, environment, program
from fixtures.hand import Hand
from reelmill_common.access import Role
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.cli import app
from reelmill_producer.cli.completion import ANSWER_S

pytestmark = pytest.mark.services

START_S = 8.0
"""Generous to a loaded machine: the start of a Python and its imports."""


@pytest.fixture
def there(settings: Settings, ledger: Ledger, hand: Hand, cli: Cli, tmp_path: Any) -> dict[str, str]:
    """A farm with a batch, a schedule, a worker and an owner; return its settings."""
    for batch, owner in (("night", "ann"), ("noon", "bob")):
        spec = RenderSpec(prompt=f"a fox at {batch}", profile="tiny", frames=5)
        rows = [RenderJob(batch=batch, row=row, spec=spec) for row in ("fox", "fawn", "owl")]
        ledger.batches.submit(Batch(name=batch, owner=owner), rows)
    (tmp_path / "nightly.txt").write_text("an owl\n")
    cli("schedule", "add", "0 22 * * *", tmp_path / "nightly.txt", "--tz", "UTC")
    ledger.tokens.make("robot", Role.OPERATOR)
    return settings.to_env()


def offered(texts: str, env: Mapping[str, str]) -> list[str]:
    """Return what bash is offered after the words; what follows the last space is incomplete."""
    asked = {"_REELMILL_COMPLETE": "complete_bash", "COMP_WORDS": texts, "COMP_CWORD": str(len(texts.split(" ")) - 1)}

    command = [sys.executable, "-m", "reelmill_producer"]
    ran = subprocess.run(command, env=environment(env) | asked, capture_output=True, text=True, check=False, timeout=60)

    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ("reelmill pri", ["prioritize"]),
        ("reelmill watch n", ["noon", "night"]),
        ("reelmill watch ni", ["night"]),
        ("reelmill cancel night noo", ["noon"]),
        ("reelmill why night/f", ["night/fox", "night/fawn"]),
        ("reelmill logs hand", ["hand@test"]),
        ("reelmill forgive h", ["hand@test"]),
        ("reelmill schedule pause n", ["nightly"]),
        ("reelmill owner a", ["ann"]),
        ("reelmill token revoke r", ["robot"]),
        ("reelmill accounts --owner b", ["bob"]),
        ("reelmill submit --after ni", ["night"]),
        ("reelmill render --sampler u", ["unipc3"]),
        ("reelmill submit --format js", ["jsonl"]),
        ("reelmill submit --reuse ", ["same", "any"]),
        ("reelmill retry night --code bad_o", ["bad_output"]),
        ("reelmill worker --profile t", ["tiny"]),
        ("reelmill plan --tz Europe/Vie", ["Europe/Vienna"]),
        ("reelmill webhook add --kind sl", ["slack"]),
    ],
)
def test_tab_offers_what_there_is(texts: str, wanted: list[str], there: dict[str, str]) -> None:
    assert sorted(offered(texts, there)) == sorted(wanted)


def test_tab_in_a_real_bash_fills_in_the_batch(there: dict[str, str]) -> None:
    script = program("--show-completion", env=there | {"SHELL": "/bin/bash"}).out
    function = next(word for word in script.split() if word.endswith("completion()")).removesuffix("()")
    keys = f'COMP_WORDS=(reelmill watch ni); COMP_CWORD=2; {function} reelmill ni watch; echo "${{COMPREPLY[@]}}"'
    env = environment(there) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    ran = subprocess.run(["bash", "-c", f"{script}\n{keys}"], env=env, capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.stderr) == ("night\n", "")


def test_tab_is_silent_and_quick_where_nobody_answers(there: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and never says a word
        port = silent.getsockname()[1]
        for away in (
            {"REELMILL_REDIS_URL": f"redis://127.0.0.1:{port}/0"},
            {"REELMILL_REDIS_URL": "redis://127.0.0.1:1/0"},
            {"REELMILL_REDIS_URL": "redis://:wrong@[::1"},
            {"REELMILL_FRAM": "x"},
            {"REELMILL_REDIS_URL": "", "REELMILL_STATE_DIR": "/nowhere/reelmill"},
        ):
            started = time.monotonic()

            assert offered("reelmill watch ni", there | away) == []

            assert time.monotonic() - started < START_S + ANSWER_S


NAMES = {"batch", "batches", "target", "targets", "worker", "owner", "profile", "sampler", "decoder", "form", "reuse"}
OTHERS = {("add", "target"), ("verify", "target")}  # an address, a file
NAMES |= {"worker_class", "after", "after_any", "catch_up", "code", "tz", "webhook_id", "kind"}


def test_every_parameter_that_takes_a_known_name_is_completed() -> None:
    left: list[str] = []
    root = typer.main.get_command(app)
    queue = [(root, typer.Context(root))]
    for group, context in queue:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if hasattr(command, "commands"):
                queue.append((command, typer.Context(command)))
                continue
            for parameter in command.params:
                known = parameter.name in NAMES and (name, parameter.name) not in OTHERS
                if known and not parameter.shell_complete(context, "") and parameter._custom_shell_complete is None:
                    left.append(f"{name}: {parameter.name}")

    assert left == []
