"""What following a batch costs Redis while other batches are busy, and how soon it ends: part of `scale.py`.

Another client changes jobs of other batches, a thousand times a second, through the ledger. Each watcher is a client of
the SDK on a link of 80 ms; half of them `watch` and half `wait`. Then the watched batch ends.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded.valkey import ValkeyServer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fixtures.tcp_proxy import tcp_proxy

EVENTS_A_SECOND = 1000
AT_ONCE = 20
"""Events in one round trip."""
LINK_S = 0.04
"""Seconds on the way, in each direction."""
SETTLE_S = 3.0


def watched(server: ValkeyServer, *, watchers: int, seconds: float) -> dict[str, Any]:
    """Measure the server without and with watchers, then end the batch; return the figures."""
    settings = Settings(redis_url=server.url, profile="tiny", store_url="file:///tmp/none")
    client = redis.Redis.from_url(server.url, decode_responses=True)
    with Ledger.connect(settings) as ledger, tcp_proxy(server.port, delay_s=LINK_S) as link:
        add(ledger, "watched", 1)
        add(ledger, "others", AT_ONCE)
        far = replace(settings, redis_url=server.url.replace(f":{server.port}/", f":{link.port}/"))
        with writing(ledger) as written:
            alone_s = cpu_share(client, seconds)
            before = written[0]
            ends: list[float] = []
            threads = [
                threading.Thread(target=follow, args=(far, number % 2 == 0, ends), daemon=True)
                for number in range(watchers)
            ]
            for thread in threads:
                thread.start()
            time.sleep(SETTLE_S)
            began, share = time.monotonic(), cpu_share(client, seconds)
            rate = (written[0] - before) / (time.monotonic() - began + SETTLE_S)
            ended = time.monotonic()
            ledger.batches.cancel("watched")
            for thread in threads:
                thread.join(30)
        late = sorted(end - ended for end in ends)
    return {
        "watchers": watchers,
        "events_a_second": round(rate),
        "link_ms": round(2 * LINK_S * 1000),
        "core_alone": round(alone_s, 4),
        "core_with_watchers": round(share, 4),
        "core_of_watchers": round(share - alone_s, 4),
        "returned": len(late),
        "end_s": {"p50": round(late[len(late) // 2], 3), "max": round(late[-1], 3)} if late else None,
    }


def add(ledger: Ledger, batch: str, count: int) -> None:
    """Submit a batch of so many jobs; no worker is there for them."""
    spec = RenderSpec(prompt="a red fox", profile="tiny")
    jobs = [RenderJob(batch=batch, row=str(row), spec=replace(spec, seed=row)) for row in range(count)]
    ledger.batches.submit(Batch(name=batch), jobs)


def follow(settings: Settings, watches: bool, ends: list[float]) -> None:  # noqa: FBT001 - one of two ways to follow
    """Follow the batch to its end, and note when that was heard."""
    with Reelmill(settings) as farm:
        if watches:
            for _ in farm.watch("watched", after="$"):
                pass
        else:
            farm.wait("watched")
        ends.append(time.monotonic())


@contextmanager
def writing(ledger: Ledger) -> Iterator[list[int]]:
    """Mark jobs of the other batch, each mark an event; yield how many there were so far."""
    over, written = threading.Event(), [0]
    server = ledger.batches._server  # noqa: SLF001 - it sends many calls in one round trip
    ids = [job.job_id for job in ledger.jobs.every("others")]

    def write() -> None:
        due = time.monotonic()
        while not over.is_set():
            server.run_many("choose", [(job_id, f"f {written[0]}", "favourite") for job_id in ids])
            written[0] += len(ids)
            due += len(ids) / EVENTS_A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        over.set()
        thread.join()


def cpu_share(client: redis.Redis, seconds: float) -> float:
    """Return the share of a core that the server takes for so many seconds."""

    def spent() -> float:
        info: dict[str, Any] = client.info("cpu")
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])

    began, before = time.monotonic(), spent()
    time.sleep(seconds)
    return (spent() - before) / (time.monotonic() - began)
