"""`forget`: a worker that is gone is forgotten, one that lives is not."""

from __future__ import annotations

import pytest

from fixtures.cli import Cli
from reelmill_common.ledger import Ledger, WorkerInfo, base
from reelmill_common.settings import Settings

NODE = "gpu0@render-3"


def test_a_worker_that_is_gone_is_forgotten_and_a_live_one_is_not(
    cli: Cli, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.workers.register(NODE, "tiny", WorkerInfo())
        live = cli("forget", NODE)
        monkeypatch.setattr(base, "LIVE_S", 0.0)

        gone = cli("forget", NODE)

        assert ledger.workers.all() == []
    assert (live.status, gone.status, gone.out) == (75, 0, "forgotten\n")
    assert "lives; stop it first" in live.err
    assert cli("forget", NODE).status == 66
