"""What the producer brings into a process, and that its command line starts quickly for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fixtures.cli import environment
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

HEAVY = ("torch", "diffusers", "transformers", "triton", "einops", "av")
SLOW = ("celery", "boto3", "tokenizers")
OF_OTHERS = ("ftfy", "http.client", "kombu", "reelmill_worker", "smtplib", "yaml")
"""What some commands need; the two that people run to look, and wait for, do not."""


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh process has after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.slow
def test_no_module_of_the_producer_brings_torch() -> None:
    every = (
        "import importlib, pkgutil, reelmill_producer\n"
        "for found in pkgutil.walk_packages(reelmill_producer.__path__, 'reelmill_producer.'):\n"
        "    if not found.name.endswith('__main__'): importlib.import_module(found.name)"
    )

    loaded = loaded_by(every)

    assert "reelmill_producer.client" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    loaded = loaded_by("import reelmill_producer.cli")

    assert loaded.isdisjoint({*HEAVY, *SLOW})


def test_the_sdk_brings_all_that_it_names_and_nothing_heavy() -> None:
    loaded = loaded_by("from reelmill import *\nassert Reelmill.from_env and issubclass(InvalidJob, ReelmillError)")

    assert "reelmill_producer.client" in loaded
    assert loaded.isdisjoint({*HEAVY, *SLOW})


@pytest.mark.parametrize("command", ["status", "top"])
def test_a_look_at_the_farm_imports_only_what_it_needs(command: str, settings: Settings, ledger: Ledger) -> None:
    job = RenderJob(batch="night", row="1", spec=RenderSpec(prompt="a fox", profile="tiny", frames=5))
    ledger.batches.submit(Batch(name="night"), [job])
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code += "from reelmill_producer.cli import main; main()"

    ran = subprocess.run(
        [sys.executable, "-c", code, command, "--json"],
        env=environment(settings.to_env()),
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(ran.stderr.split())
    assert [batch["batch"] for batch in json.loads(ran.stdout)["batches"]] == ["night"]
    assert "redis" in loaded
    assert loaded & {*HEAVY, *SLOW, *OF_OTHERS} == set()
