"""The Celery side of the housekeeping: a consumer step that starts and stops consuming the queues of its lanes."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import structlog
from celery import bootsteps, signals
from celery.worker import state

from reelmill_common.contract import queue_name
from reelmill_common.errors import WorkerUnfit
from reelmill_common.settings import Settings
from reelmill_worker.ipc.child_status import notice_path
from reelmill_worker.ipc.counters import figures_path
from reelmill_worker.ipc.progress import progress_path
from reelmill_worker.parent.housekeeping import LOOK_S, STALLED_STATUS, Housekeeping
from reelmill_worker.parent.metrics import Exporter, WorkerCollector

log = structlog.get_logger(__name__)


class Consumption(bootsteps.StartStopStep):
    """Consumes the queues of a worker's lanes while the ledger has the present child as ready, and only then.

    They are left out at start: a message that reaches a child that loads its model would wait for minutes while other
    workers idle.

    Attributes:
        settings: Of the farm.
        lane: The worker's model profile.
    """

    settings: ClassVar[Settings]
    lane: ClassVar[str]
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        queue = queue_name(self.settings.farm, self.lane)
        queues = consumer.app.amqp.queues
        queues.select([queue])
        queues.deselect([queue])
        self.consumed: set[str] = set()
        notices = notice_path(self.settings.state_dir, consumer.hostname, os.getpid())
        progress = progress_path(self.settings.state_dir, consumer.hostname, os.getpid())
        for path in (notices, progress):
            # In a container process ids come again, and a life that was killed left these: no child has started yet.
            path.unlink(missing_ok=True)
        self.house = Housekeeping(
            settings=self.settings,
            app=consumer.app,
            worker=consumer.hostname,
            lane=self.lane,
            notices=notices,
            child_pid=lambda: next(iter(consumer.pool.info["processes"]), None),
            progress=progress,
            idle=lambda: not state.reserved_requests,
        )
        counted = figures_path(self.settings.state_dir, consumer.hostname, os.getpid())
        self.exporter = Exporter(
            self.settings,
            WorkerCollector(
                worker=consumer.hostname,
                lane=self.lane,
                figures=counted,
                standing=lambda: self.house.standing,
                info=lambda: self.house.child_info,
            ),
            counted,
        )
        signals.worker_shutting_down.connect(self._drain)
        signals.worker_shutdown.connect(self._retire)

    def start(self, parent: Any) -> None:
        """Begin housekeeping, which decides what is consumed."""
        self.house.start()
        self.exporter.start()
        # On the loop's own timer: consumers and channels belong to the event loop's thread.
        parent.timer.call_repeatedly(LOOK_S, self._apply, (parent,))

    def _apply(self, consumer: Any) -> None:
        if self.house.unfit:
            state.should_stop = WorkerUnfit.exit_status  # type: ignore[assignment]  # the stub knows its default only
            return
        if self.house.restart:
            state.should_stop = STALLED_STATUS  # type: ignore[assignment]  # as above
            return
        wanted = {queue_name(self.settings.farm, lane) for lane in self.house.lanes} if self.house.consuming else set()
        there = {queue for queue in self.consumed | wanted if consumer.task_consumer.consuming_from(queue)}
        if self.house.resubscribe and there:
            self.house.resubscribe, wanted = False, set()  # and the next call subscribes
        for queue in sorted(there - wanted):
            consumer.cancel_task_queue(queue)
        for queue in sorted(wanted - there):
            consumer.add_task_queue(queue)
        self.consumed = wanted

    def _drain(self, **_kwargs: Any) -> None:
        self.house.drain()

    def _retire(self, **_kwargs: Any) -> None:
        self.house.stop()
        self.exporter.stop()


def consumption_step(settings: Settings, lane: str) -> type[Consumption]:
    """Return the step for a worker's consumer blueprint. Celery makes it by itself, so it has to know these already."""
    return type("Consumption", (Consumption,), {"settings": settings, "lane": lane})
