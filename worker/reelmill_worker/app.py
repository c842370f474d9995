"""The application that `celery -A reelmill_worker.app worker` imports, in the parent and again in its rendering child.

The one module of the worker that reads the environment and builds objects at import. The parent must stay without
torch: whatever needs the model is imported inside the child's handlers.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.exceptions import Reject

from reelmill_common.broker import make_app
from reelmill_common.contract import TASK_RENDER
from reelmill_common.jobs import DEFAULT_PROFILE
from reelmill_common.ledger import broker_transport
from reelmill_common.ledger.server import process_connections
from reelmill_common.settings import Settings
from reelmill_worker import logs
from reelmill_worker.parent import remote_control
from reelmill_worker.parent.broker_wait import broker_wait_step
from reelmill_worker.parent.consumer_step import consumption_step
from reelmill_worker.parent.message_filter import Inbox

if TYPE_CHECKING:
    from reelmill_worker.child.job_runner import JobRunner

DRAIN_S = 120.0
"""Longest that a child waits for its deliveries at its end; what is not stored by then is given back to the ledger."""

SWITCH_S = 0.0005
"""Seconds after which a thread yields the interpreter to the one that fetches messages or feeds the GPU. With Python's
default of 5 ms each answer from Redis would wait that long, several times between two clips."""

sys.setswitchinterval(SWITCH_S)
settings = Settings.from_env(os.environ)
profile = settings.profile or DEFAULT_PROFILE
broker_transport.share(process_connections(settings))
remote_control.restrict()
app = make_app(settings, name="reelmill")
app.steps["consumer"].add(consumption_step(settings, profile))
app.steps["consumer"].add(Inbox)
app.steps["consumer"].add(broker_wait_step(settings))
_runners: list[JobRunner] = []  # empty in the parent, and in a child that the gate refused


@signals.setup_logging.connect
def _set_up_logs(**_kwargs: Any) -> None:
    logs.configure(level=settings.log_level, form=settings.log_format, stream=sys.stderr)


@signals.worker_process_init.connect
def _enter_gate(sender: str, **_kwargs: Any) -> None:
    from celery import current_app  # noqa: PLC0415 - in a spawned child it is the parent's, rebuilt, not ours above

    from reelmill_worker.child.gate import Gate  # noqa: PLC0415 - leads to the model

    gate = Gate(settings=settings, worker=sender, profile=profile, app=current_app, parent_pid=os.getppid())
    runner = gate.enter()
    if runner is not None:
        _runners.append(runner)


@signals.worker_process_shutdown.connect
def _finish_deliveries(**_kwargs: Any) -> None:
    for runner in _runners:
        runner.close(DRAIN_S)


@app.task(name=TASK_RENDER)
def render(*, job_id: str, generation: int, label: str = "") -> dict[str, Any]:
    """Render the job that a message names, if the ledger allows it; the label is for people who look at Flower."""
    del label
    if not _runners:
        raise Reject("this process has no model", requeue=True)
    return _runners[0].run(job_id, generation)
