"""A worker's parent tells the webhooks, and a slow receiver does not keep it from its rounds."""

from __future__ import annotations

import dataclasses
import os
import threading
import time

from fixtures.receiver import receiver
from fixtures.valkey import wait_for
from reelmill_common.broker import make_app
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.notify.webhooks import ReceiverKind, Webhook
from reelmill_common.settings import Settings
from reelmill_worker.ipc.child_files import ChildFiles
from reelmill_worker.parent.housekeeping import Housekeeping

NODE = "cpu0@test"


def beaten_since(ledger: Ledger, since: float) -> bool:
    return any(view.seen_s < time.monotonic() - since for view in ledger.workers.all())


def test_a_receiver_that_is_slow_holds_up_no_round_of_the_parent(settings: Settings) -> None:
    settings = dataclasses.replace(settings, notify_scheme="http", notify_allow="127.0.0.1")
    housekeeping = Housekeeping(
        settings=settings,
        app=make_app(settings),
        worker=NODE,
        profile="tiny",
        status_file=ChildFiles(state_dir=settings.state_dir, worker=NODE, parent_pid=os.getpid()).status,
        child_pid=lambda: 1000,
    )
    answering = threading.Event()

    with receiver() as taker, Ledger.connect(settings) as ledger, WebhookStore.connect(settings) as webhooks:
        taker.before_answer = lambda: answering.wait(60)
        webhooks.add(Webhook.new(taker.url, kind=ReceiverKind.STANDARD, events=("batch.submitted",)))
        ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=RenderSpec(prompt="fox"))])
        housekeeping.start()
        try:
            wait_for(lambda: taker.received, what="the message arrives")
            for _ in range(3):
                since = time.monotonic()
                wait_for(lambda since=since: beaten_since(ledger, since), what="the next beat")
            held = not webhooks.log()
            answering.set()
            wait_for(webhooks.log, what="the attempt is recorded")
        finally:
            answering.set()
            housekeeping.stop()

    assert held
