"""The application that Celery imports: light in the parent, refusing without a model, one line per log event."""

from __future__ import annotations

import os
import subprocess
import sys

from reelmill_common.settings import Settings


def python(code: str, settings: Settings, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REELMILL_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | settings.to_env() | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_parent_loads_neither_torch_nor_a_muxer(settings: Settings) -> None:
    code = (
        "import sys, reelmill_worker.app; print([name for name in ('torch', 'av', 'diffusers') if name in sys.modules])"
    )

    done = python(code, settings)

    assert done.stdout.strip() == "[]", done.stderr


def test_help_loads_neither_torch_nor_celery(settings: Settings) -> None:
    code = (
        "import sys, reelmill_worker.commands.worker; "
        "print([name for name in ('torch', 'celery') if name in sys.modules])"
    )

    done = python(code, settings)

    assert done.stdout.strip() == "[]", done.stderr


def test_a_process_without_a_model_renders_nothing_and_returns_the_message(settings: Settings) -> None:
    code = """
from celery.exceptions import Reject
from reelmill_worker.app import render
try:
    render.run(job_id="j", generation=1)
except Reject as err:
    print(err.requeue, err.reason)
"""

    done = python(code, settings)

    assert done.stdout.strip() == "True this process has no model", done.stderr
