"""What the producer brings into a process, and that its command line starts quickly for it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "diffusers", "transformers", "triton", "einops", "av")
SLOW = ("celery", "boto3", "tokenizers")


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh process has after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


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
