"""The Celery application that producers and workers share, with the settings that each fault test needed."""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from kombu import Queue

from reelmill_common.contract import TASK_RENDER, class_of, queue_name
from reelmill_common.ledger import Dispatch, Ledger
from reelmill_common.ledger import broker_transport as transport
from reelmill_common.ledger.primary import SENTINEL_S
from reelmill_common.ledger.server import address_of
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings

VISIBILITY_TIMEOUT_S = 3600
"""Seconds until kombu delivers an unacknowledged message again. Ours are hints: a lost one is found by the ledger's
reaper long before, and a redelivered one dies at claim. So this is long, to spare the broker, and equal in all
processes, since the smallest value on a broker wins (celery#5935)."""

FETCH_WAIT_S = 10
"""Seconds that a worker waits in one BRPOP. A message ends it at once; without one the next is sent, which costs Redis
as much as a message."""

PRIORITIES = range(10)
SEPARATOR = ":"
"""Between a queue and its priority in the names of the broker's lists."""

RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
"""How a message that could not be published is tried again, in seconds."""


class ClassesFirst:
    """The order in which a worker looks into its queues for messages of one priority.

    Queues of its classes come first, in turn, since any worker serves the general one; the ledger decides how much of
    each is sent at all. A more urgent message goes first, whatever its queue. Kombu calls the methods.
    """

    def __init__(self) -> None:
        """Start without queues."""
        self._queues: list[str] = []

    def update(self, queues: Iterable[str]) -> None:
        """Replace the queues."""
        self._queues = sorted(queues)

    def consume(self, n: int) -> list[str]:
        """Return the first `n` queues in that order."""
        return sorted(self._queues, key=lambda queue: not class_of(queue))[:n]

    def rotate(self, last_used: str) -> str:
        """Move the queue that a message came from behind the others."""
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used


def make_app(settings: Settings, *, name: str = "reelmill", answer_s: float = 60.0) -> Celery:
    """Build the Celery application; nothing is connected yet.

    The choices and their evidence are in `docs/decisions/0003-celery-settings.md`.

    Args:
        settings: Settings of the farm.
        name: Name of the application.
        answer_s: Seconds to wait for an answer from the broker, or for a connection.

    Raises:
        InvalidSettings: The URL cannot be used.
    """
    transport.install()
    app = Celery(name, set_as_current=False)
    address = address_of(settings)
    app.conf.update(
        **address.broker_options(),
        task_serializer="json",
        accept_content=["json"],
        event_serializer="json",
        result_accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        task_reject_on_worker_lost=False,
        task_retry_on_worker_lost=False,
        task_track_started=True,
        task_send_sent_event=True,
        task_create_missing_queues=True,
        task_queues=[Queue(queue_name(settings.farm, lane)) for lane in PROFILES],
        task_default_queue=queue_name(settings.farm, next(iter(PROFILES))),
        task_soft_time_limit=settings.clip_soft_limit_s,
        task_time_limit=settings.clip_hard_limit_s,
        worker_send_task_events=False,  # `task_events` sends them while Flower asks: they are three a clip
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="prefork",
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=600.0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0.0,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "queue_order_strategy": f"{ClassesFirst.__module__}:{ClassesFirst.__name__}",
            "priority_steps": list(PRIORITIES),
            "sep": SEPARATOR,
            "polling_interval": FETCH_WAIT_S,
            "socket_keepalive": True,
            "socket_timeout": answer_s,
            "socket_connect_timeout": answer_s,
            "health_check_interval": 25,
            "global_keyprefix": keyprefix(settings.farm),
            **address.transport_options(SENTINEL_S),
        },
    )
    return app


def send(app: Celery, farm: str, dispatches: Iterable[Dispatch]) -> int:
    """Publish one message per dispatched job; return how many.

    A message that is lost on the way costs time only: the ledger finds the job and dispatches it again.

    Raises:
        kombu.exceptions.OperationalError: The broker does not answer.
    """
    count = 0
    with app.producer_or_acquire() as producer:
        for item in dispatches:
            app.send_task(
                TASK_RENDER,
                kwargs={"job_id": item.job_id, "generation": item.generation, "label": item.label},
                # Shown for the arguments: the id says the rest, and Flower would index every pair of a dict.
                kwargsrepr=item.label,
                task_id=f"{item.job_id}.{item.generation}",
                queue=queue_name(farm, item.lane),
                priority=9 - item.priority,  # Redis transport: 0 is the most urgent
                producer=producer,
                # A message sent twice dies at claim; one not sent is missed for some seconds. So a broken connection of
                # the pool, which is all of them after a restart of the server, is worth another try.
                retry=True,
                retry_policy=RETRY_POLICY,
                ignore_result=True,
            )
            count += 1
    return count


def pump(ledger: Ledger, app: Celery, settings: Settings, profile: str) -> int:
    """Let the ledger decide what the lanes of a profile run next and send it; return how many jobs were sent."""
    return send(
        app,
        settings.farm,
        ledger.dispatch.pump(profile, depth=settings.dispatch_depth, prompts=settings.flower_prompts),
    )


def lists(settings: Settings, lane: str) -> list[str]:
    """Return the Redis keys of a lane's lists of messages, one for each priority, as kombu names them."""
    queue = keyprefix(settings.farm) + queue_name(settings.farm, lane)
    return [f"{queue}{SEPARATOR}{priority}" if priority else queue for priority in PRIORITIES]


def reconcile(ledger: Ledger, settings: Settings) -> int:
    """Take back jobs of all lanes whose message the broker has lost; return how many."""
    return ledger.dispatch.reconcile(
        queues=lambda lane: lists(settings, lane),
        unacked=f"{keyprefix(settings.farm)}unacked",
        depth=settings.dispatch_depth,
    )


def keyprefix(farm: str) -> str:
    """Return the prefix of every key and channel of a farm's broker."""
    return f"reelmill:{farm}:celery:"
