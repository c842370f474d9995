"""What commands print: readable where a terminal cannot write every letter."""

from __future__ import annotations

import pytest

from fixtures.cli import program
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

pytestmark = pytest.mark.services


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_what_a_terminal_cannot_write_is_shown_escaped(encoding: str, settings: Settings, ledger: Ledger) -> None:
    spec = RenderSpec(prompt="狐 and 🦊", profile="tiny", frames=5)
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="fox", spec=spec)])
    env = settings.to_env() | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}

    shown = program("status", "night/fox", env=env)
    as_json = program("status", "night/fox", "--json", env=env)

    assert (shown.status, shown.err) == (0, "")
    assert "prompt: \\u72d0 and \\U0001f98a" in shown.out
    assert as_json.json["spec"]["prompt"] == spec.prompt
