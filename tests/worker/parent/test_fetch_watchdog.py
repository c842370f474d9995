"""A ready worker that fetches nothing while messages wait subscribes again, and is then started again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.child import Child
from fixtures.farm import specs
from fixtures.valkey import wait_for
from reelmill_common.jobs import Batch, RenderJob
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_worker.parent.fetch_watchdog import FetchWatch
from reelmill_worker.parent.housekeeping import Housekeeping


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.connect(settings) as ledger:
        yield ledger


def test_a_worker_that_fetches_nothing_while_messages_wait_subscribes_again_and_then_restarts(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    housekeeping._fetching = FetchWatch(patience_s=0.2)
    housekeeping.idle = lambda: True
    child.reports("ready")
    housekeeping.look()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])

    def asked(what: str) -> bool:
        housekeeping.round()
        return bool(getattr(housekeeping, what))

    wait_for(lambda: asked("resubscribe"), what="a new subscription")
    assert not housekeeping.restart
    wait_for(lambda: asked("restart"), what="a new start")

    actions = [event.fields["action"] for event in ledger.events.read(after="0") if event.name == "worker.stalled"]
    assert actions == ["resubscribe", "restart"]


def test_a_worker_with_a_message_in_hand_does_not_count_as_stalled(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    housekeeping._fetching = FetchWatch(patience_s=0.0001)
    housekeeping.idle = lambda: False
    child.reports("ready")
    housekeeping.look()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])

    housekeeping.round()
    housekeeping.round()

    assert (housekeeping.resubscribe, housekeeping.restart) == (False, False)
