"""What `dispatch.py` compares with: plain Celery, late acknowledgement, one prefork child, on the same server."""

from __future__ import annotations

import os
import time

from celery import Celery
from redis import Redis

app = Celery("plain", broker=os.environ["PLAIN_REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_pool_start_method="spawn",
    task_default_queue="plain",
    broker_connection_retry_on_startup=True,
)
redis = Redis.from_url(os.environ["PLAIN_REDIS_URL"])  # connects at the first use


@app.task(name="plain.nothing")
def nothing(*, job_id: str, generation: int, label: str) -> None:
    """Do nothing; takes what a message of ours carries."""


@app.task(name="plain.wait")
def wait(*, seconds: float, sent: float) -> None:
    """Take a fixed time, and leave behind when it was sent, began and ended (Unix seconds)."""
    began = time.time()
    time.sleep(seconds)
    redis.rpush("plain:times", f"{sent} {began} {time.time()}")
