"""The Celery side of the housekeeping: a consumer step that starts and stops consuming the queues of its lanes."""

from __future__ import annotations

import os
from typing import Any

import structlog
from celery import bootsteps, signals
from celery.worker import state

from reelmill_common.contract import queue_name
from reelmill_common.errors import WorkerUnfit
from reelmill_common.settings import Settings
from reelmill_worker.ipc.child_files import ChildFiles
from reelmill_worker.parent.housekeeping import LOOK_S, STALLED_STATUS, Housekeeping
from reelmill_worker.parent.metrics import Exporter, WorkerCollector
from reelmill_worker.parent.task_events import TaskEvents

log = structlog.get_logger(__name__)


class ConsumptionStep(bootsteps.StartStopStep):
    """Consumes the queues of a worker's lanes while the ledger has the present child as ready, and only then.

    They are left out at start: a message that reaches a child that loads its model would wait for minutes while other
    workers idle.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, settings: Settings, profile: str, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self.settings = settings
        queue = queue_name(settings.farm, profile)
        queues = consumer.app.amqp.queues
        queues.select([queue])
        queues.deselect([queue])
        self.consumed: set[str] = set()
        self.task_events = TaskEvents()
        self.task_events.listen()
        files = ChildFiles(state_dir=settings.state_dir, worker=consumer.hostname, parent_pid=os.getpid())
        for path in (files.status, files.progress):
            # In a container process ids come again, and a life that was killed left these: no child has started yet.
            path.unlink(missing_ok=True)
        self.housekeeping = housekeeping = Housekeeping(
            settings=settings,
            app=consumer.app,
            worker=consumer.hostname,
            profile=profile,
            status_file=files.status,
            child_pid=lambda: _child_pid(consumer.pool),
            progress=files.progress,
            idle=lambda: not state.reserved_requests,
        )
        collector = WorkerCollector(
            worker=consumer.hostname,
            profile=profile,
            counted=files.counters,
            state=lambda: housekeeping.state,
            info=lambda: housekeeping.child_info,
            certificate="" if settings.provenance == "off" else settings.provenance_certificate,
        )
        self.exporter = Exporter(settings, collector, files.counters)
        signals.worker_shutting_down.connect(self._drain)
        signals.worker_shutdown.connect(self._retire)

    def start(self, parent: Any) -> None:
        """Begin housekeeping, which decides what is consumed."""
        self.housekeeping.start()
        self.exporter.start()
        # On the loop's own timer: consumers and channels belong to the event loop's thread.
        parent.timer.call_repeatedly(LOOK_S, self._apply, (parent,))

    def _apply(self, consumer: Any) -> None:
        self.task_events.apply(consumer.event_dispatcher)
        if self.housekeeping.unfit:
            state.should_stop = WorkerUnfit.exit_status  # type: ignore[assignment]  # the stub knows its default only
            return
        if self.housekeeping.restart:
            state.should_stop = STALLED_STATUS  # type: ignore[assignment]  # as above
            return
        lanes = self.housekeeping.lanes if self.housekeeping.consuming else ()
        wanted = {queue_name(self.settings.farm, lane) for lane in lanes}
        there = {queue for queue in self.consumed | wanted if consumer.task_consumer.consuming_from(queue)}
        if self.housekeeping.resubscribe and there:
            self.housekeeping.resubscribe, wanted = False, set()  # and the next call subscribes
        for queue in sorted(there - wanted):
            consumer.cancel_task_queue(queue)
        for queue in sorted(wanted - there):
            consumer.add_task_queue(queue)
        self.consumed = wanted

    def _drain(self, **_kwargs: Any) -> None:
        self.housekeeping.drain()

    def _retire(self, **_kwargs: Any) -> None:
        self.housekeeping.stop()
        self.exporter.stop()


def _child_pid(pool: Any) -> int | None:
    """Return the child's process id, or None: between two children, and once Celery has ended its pool."""
    try:
        return next(iter(pool.info["processes"]), None)
    except AttributeError:
        return None


def consumption_step(settings: Settings, profile: str) -> type[ConsumptionStep]:
    """Return the step for a worker's consumer blueprint. Celery makes the instance, so it takes no arguments."""

    class ConsumerStep(ConsumptionStep):
        def __init__(self, consumer: Any, **kwargs: Any) -> None:
            super().__init__(consumer, settings, profile, **kwargs)

    return ConsumerStep
