from __future__ import annotations

import json

from fixtures.cli import Cli
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo, WorkerState
from reelmill_common.settings import Settings

NODE = "gpu0@render-3"


def test_forgiving_lifts_a_quarantine_and_says_what_it_was_for(cli: Cli, settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.workers.register(NODE, "tiny", WorkerInfo())
        ledger.workers.quarantine(NODE, "the canary came out black")

        ran = cli("forgive", NODE, "--json")

        (view,) = ledger.workers.all()
        assert view.state is WorkerState.STARTING
    assert json.loads(ran.out) == {"worker": NODE, "was_quarantined": True, "reason": "the canary came out black"}


def test_a_worker_that_is_well_is_left_alone(cli: Cli, settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.workers.register(NODE, "tiny", WorkerInfo())
        ledger.workers.ready(NODE, WorkerInfo())

        ran = cli("forgive", NODE)

        assert ledger.workers.all()[0].state is WorkerState.READY
    assert "is ready, not quarantined" in ran.err


def test_an_unknown_worker_is_answered_with_those_that_are_known(cli: Cli, settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.workers.register(NODE, "tiny", WorkerInfo())

    ran = cli("forgive", "gpu9@nowhere")

    assert ran.status == 66
    assert f"known are {NODE}" in ran.err


def test_a_worker_is_paused_and_resumed_by_its_name(cli: Cli, ledger: Ledger) -> None:
    ledger.workers.register(NODE, "tiny", WorkerInfo())
    ledger.workers.ready(NODE, WorkerInfo())
    ledger.batches.submit(
        Batch(name="night"),
        [RenderJob(batch="night", row="fox", spec=RenderSpec(prompt="a fox", profile="tiny"))],
    )

    paused = cli("pause", NODE)
    status, top, why = cli("status").out, cli("top", "--once").out, cli("why", "night/fox").out
    resumed = cli("resume", NODE, "--json")

    assert paused.out == "paused\n"
    assert "paused" in status
    assert "paused" in top
    assert f"the workers of lane tiny are paused; `reelmill resume {NODE}` lets it take jobs" in why
    assert (resumed.json["worker"], resumed.json["state"]) == (NODE, "ready")
    assert cli("pause", "gpu9@nowhere").status == 66
