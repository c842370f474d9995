from __future__ import annotations

import json

from fixtures.cli import Cli
from reelmill_common.ledger import Ledger, WorkerState
from reelmill_common.settings import Settings

NODE = "gpu0@render-3"


def test_forgiving_lifts_a_quarantine_and_says_what_it_was_for(cli: Cli, settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.register(NODE, "tiny", {})
        ledger.quarantine(NODE, "the canary came out black")

        ran = cli("forgive", NODE, "--json")

        (view,) = ledger.workers()
        assert view.state is WorkerState.STARTING
    assert json.loads(ran.out) == {"worker": NODE, "was_quarantined": True, "reason": "the canary came out black"}


def test_a_worker_that_is_well_is_left_alone(cli: Cli, settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.register(NODE, "tiny", {})
        ledger.ready(NODE, {})

        ran = cli("forgive", NODE)

        assert ledger.workers()[0].state is WorkerState.READY
    assert "is ready, not quarantined" in ran.err


def test_an_unknown_worker_is_answered_with_those_that_are_known(cli: Cli, settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.register(NODE, "tiny", {})

    ran = cli("forgive", "gpu9@nowhere")

    assert ran.status == 66
    assert f"known are {NODE}" in ran.err
