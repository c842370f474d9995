"""A farm of simulated workers for `scale.py`: only the render is a timer, all that a worker says to Redis is real.

Ledger, Lua, the rounds of the parents (`Housekeeping.round`), their services, the publishing of messages (kombu) and
the look at upcoming jobs are the project's own code. What a Celery consumer says to its broker is said by hand, as
MONITOR shows it of real workers: BRPOP on a connection of its own, the marks of what is unacknowledged, events,
heartbeats and the scan for messages to restore.

The farm runs in slow motion, so that thousands of workers fit on a slice of a core: each of its times (clip, tick,
lease and the ledger's) is `slow` times as long.
"""

from __future__ import annotations

import base64
import heapq
import json
import multiprocessing
import random
import selectors
import socket
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hiredis
import redis
from kombu.transport.redis import Channel

from reelmill_common import broker
from reelmill_common.contract import lane_name
from reelmill_common.jobs import DELIVERY_STAGES, RENDER_STAGES, Batch, RenderJob, RenderSpec, Stage
from reelmill_common.ledger import Claimed, Ledger, Result, WorkerInfo, base, dispatch
from reelmill_common.ledger.attempts import Publication
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.server import connect
from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.services.notification_sender import Sender
from reelmill_common.services.report_maker import ReportMaker
from reelmill_common.settings import Settings
from reelmill_worker.attempt.lease import REPORT_APART_S
from reelmill_worker.child.dispatch_share import DispatchShare
from reelmill_worker.child.prefetch import Prefetcher
from reelmill_worker.parent.housekeeping import LIVE_SHARE, WORKERS_A_TICK, Housekeeping
from reelmill_worker.parent.worker_phase import PhaseEvent

PROFILE = "tiny"
CLASSES = ("h100", "sm90", "bits-0123456789ab")
PROMPT = (
    "A red fox walks through deep snow at dawn, soft light between birches, breath visible, slow pan, take {row:06d}"
)
STAGE_AT = dict(zip(RENDER_STAGES, (0.0, 0.02, 0.3, 0.58, 0.86), strict=True))
"""Share of the clip at which each stage begins, as on an H100."""
MUX_S, UPLOAD_S = 0.15, 0.25
"""Seconds after a render at which its upload begins, and its clip is published."""
HEARTBEAT_S = 2.0
INFO = {
    "pid": 1, "machine": "m" * 32, "host": "gpu-host-0001", "renderer": "model", "model_hash": "a" * 64,
    "versions": {"torch": "2.9.0+cu128", "triton": "3.5.0", "reelmill": "1.0.0"}, "store": "s3://bucket/clips",
    "store_once": True, "gpu_uuid": "GPU-01234567-89ab-cdef-0123-456789abcdef", "gpu_arch": "sm90",
    "plan": {"device": "cuda", "gpu": "NVIDIA H100 80GB HBM3", "dtype": "bfloat16", "linears": "fp8",
             "attention": "sage", "vae": "tiny", "compile": "blocks", "reason": "measured fastest of four"},
    "classes": list(CLASSES), "metrics": "10.0.0.1:9500",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is simulated.

    Attributes:
        clip_s: Seconds of a render.
        slow: How many times longer everything takes.
        lanes: Lanes of each worker, its profile among them.
        flower: Whether Flower runs, and asks workers for their events.
    """

    workers: int
    clip_s: float
    slow: float
    lanes: int
    flower: bool = False


@dataclass(slots=True)
class Worker:
    """One simulated worker: its parent's housekeeping, and its consumer's connection."""

    house: Housekeeping
    prefetch: Prefetcher
    share: DispatchShare
    link: socket.socket
    parser: Any
    held: dict[str, str] = field(default_factory=dict[str, str])
    tag: str = ""
    busy: bool = False
    reported_s: float = 0.0

    @property
    def name(self) -> str:
        """Its node name."""
        return self.house.worker


class SimulatedFarm:
    """The farm: a queue of what happens next, on one thread."""

    def __init__(self, scene: Scene, url: str) -> None:
        """Connect; no worker is there yet."""
        self.scene = scene
        labels = ",".join(CLASSES[: scene.lanes - 1])
        slow = scene.slow
        self.settings = Settings(
            redis_url=url,
            profile=PROFILE,
            state_dir=Path(tempfile.mkdtemp()),
            tick_s=1.0 * slow,
            lease_s=15.0 * slow,
            worker_labels=labels,
        )
        stretch(slow)
        self.ledger = Ledger.connect(self.settings)
        self.app = broker.make_app(self.settings)
        options: dict[str, Any] = self.app.conf.broker_transport_options
        kombu: Any = Channel  # its stub lacks the class' attributes
        interval_s = options.get("unacked_restore_interval", kombu.unacked_restore_interval)
        self._restore_s = float(interval_s * options.get("unacked_restore_throttle", kombu.unacked_restore_throttle))
        self.raw = redis.Redis.from_url(url, decode_responses=True)
        self._webhooks = WebhookStore(connect(self.settings, Keys(self.settings.farm).prefix), farm=self.settings.farm)
        self.lanes = [lane_name(PROFILE, name) for name in CLASSES[: scene.lanes - 1]] + [PROFILE]
        self.prefix = broker.keyprefix(self.settings.farm)
        lists = [broker.lists(self.settings, lane) for lane in self.lanes]
        keys = [key for priority in zip(*lists, strict=True) for key in priority]
        self.fetching = packed("BRPOP", *keys, max(1, round(broker.FETCH_WAIT_S * slow)))
        self.workers: list[Worker] = []
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.lag_s = 0.0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._links = selectors.DefaultSelector()
        self._random = random.Random(7)
        self._event = celery_event()
        live_s, tick_s = base.LIVE_S / slow, self.settings.tick_s / slow
        self._round_s = max(tick_s, min(LIVE_SHARE * live_s, tick_s * scene.workers / WORKERS_A_TICK))

    def enlist(self) -> None:
        """Enter the workers, and begin all that they do now and then."""
        for number in range(self.scene.workers):
            worker = self._worker(f"gpu{number % 8}@host{number // 8:04d}")
            self.workers.append(worker)
            self._links.register(worker.link, selectors.EVENT_READ, worker)
            any_time = self._random.random
            self._at(any_time() * self._round_s, self._round, worker)
            for every_s, work in self._periodic_tasks(worker):
                self._at(every_s * any_time(), self._again, every_s, work)
            self._at(self.scene.clip_s * any_time(), self._fetch, worker)

    def run(self, seconds: float) -> None:
        """Let the farm run for so many real seconds."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            wait_s = max(0.0, min(self._due[0][0] if self._due else end, end) - now)
            for key, _ in self._links.select(wait_s):
                self._hear(key.data)
            for _ in range(20):
                now = time.monotonic()
                if not self._due or self._due[0][0] > now:
                    break
                when, _, work, args = heapq.heappop(self._due)
                self.lag_s = max(self.lag_s, now - when)
                work(*args)

    def awaken(self) -> None:
        """Go on after a pause as if there had been none: no worker is lost by it."""
        for worker in self.workers:
            self.ledger.workers.beat(worker.name)
        late_s = time.monotonic() - min(item[0] for item in self._due)
        self._due = [(when + max(0.0, late_s), *rest) for when, *rest in self._due]  # type: ignore[misc]
        heapq.heapify(self._due)

    # -- one worker ----------------------------------------------------------------------------------------------

    def _worker(self, name: str) -> Worker:
        info = WorkerInfo.of(INFO)
        self.ledger.workers.register(name, PROFILE, info, lanes=self.lanes)
        self.ledger.workers.ready(name, info, lanes=self.lanes)
        house = Housekeeping(
            settings=self.settings,
            app=self.app,
            worker=name,
            profile=PROFILE,
            status_file=Path("/nonexistent"),
            child_pid=lambda: None,
            lanes=self.lanes,
        )
        house._ledger, house._registered = self.ledger, True
        house._machine.on(PhaseEvent.CHILD_READY)
        house._fetching.patience_s *= self.scene.slow
        prefetch = Prefetcher(
            worker=name,
            shared=self.settings.embedding_cache != "off",
            upcoming=lambda share: self.ledger.dispatch.upcoming(*self.lanes, share=share),
            prepare=lambda _spec: None,
        )
        share = DispatchShare(wake=self._pump, workers=lambda: prefetch.workers)
        link, parser = connected(self.settings.redis_url)
        worker = Worker(house, prefetch, share, link, parser)
        house.idle = lambda: not worker.busy
        return worker

    def _periodic_tasks(self, worker: Worker) -> Iterator[tuple[float, Callable[[], None]]]:
        yield HEARTBEAT_S, lambda: self._publish("worker.heartbeat")
        yield self._restore_s, self._restore
        sender = Sender(settings=self.settings, hold_s=30.0 * self.scene.slow)
        sender._webhooks, sender._ledger = self._webhooks, self.ledger
        yield 60.0, lambda: self._timed("notify", sender.round)
        turn_s = 120 * self.scene.slow
        yield ReportMaker.LOOK_S, lambda: self._timed("reports", self.ledger.batches.take_report, turn_s=turn_s)
        yield self.settings.lease_s / self.scene.slow / 3, lambda: self._renew(worker)

    def _round(self, worker: Worker) -> None:
        self._timed("round", worker.house.round)
        self._at(worker.house.round_s / self.scene.slow, self._round, worker)

    def _renew(self, worker: Worker) -> None:
        for job_id, token in list(worker.held.items()):
            self._timed("renew", self.ledger.attempts.renew, job_id, token, lease_s=self.settings.lease_s)

    def _restore(self) -> None:
        lock = self.raw.lock(self.prefix + "unacked_mutex", timeout=300)
        if lock.acquire(blocking=False):
            self.raw.zrevrangebyscore(
                self.prefix + "unacked_index", time.time() - 3600, 0, start=0, num=10, withscores=True
            )
            lock.release()

    def _publish(self, channel: str) -> None:
        self.raw.publish(f"{self.prefix}/0.celeryev/{channel}", self._event)

    def _task_event(self) -> None:
        if self.scene.flower:
            self._publish("task.multi")

    def _fetch(self, worker: Worker) -> None:
        worker.link.sendall(self.fetching)

    def _hear(self, worker: Worker) -> None:
        worker.parser.feed(worker.link.recv(65_536))
        answer = worker.parser.gets()
        if answer is False:
            return
        if answer is None:
            self._fetch(worker)
            return
        if isinstance(answer, Exception):
            raise answer
        message = json.loads(answer[1])
        worker.tag, worker.busy = message["properties"]["delivery_tag"], True
        with self.raw.pipeline(transaction=True) as pipe:
            pipe.zadd(self.prefix + "unacked_index", {worker.tag: time.time()})
            pipe.hset(self.prefix + "unacked", worker.tag, json.dumps([message, "", answer[0].decode()]))
            pipe.execute()
        self._task_event()
        self._claim(worker, message["headers"]["id"])

    def _claim(self, worker: Worker, task_id: str) -> None:
        job_id, _, generation = task_id.rpartition(".")
        lease_s, clip_s = self.settings.lease_s, self._clip_s(worker)
        self._task_event()
        claimed = self._timed(
            "claim", self.ledger.attempts.claim, job_id, int(generation), worker.name, lease_s=lease_s
        )
        if not isinstance(claimed, Claimed):
            self.refused[str(claimed)] += 1
            self._rendered(worker)
            return
        worker.held[job_id] = claimed.token
        worker.reported_s = time.monotonic()
        for stage, share in STAGE_AT.items():
            self._at(share * clip_s, self._stage, worker, job_id, stage)
        self._at(clip_s, self._rendered, worker)
        for stage, late_s in zip(DELIVERY_STAGES, (0.0, MUX_S), strict=True):
            self._at(clip_s + late_s, self._stage, worker, job_id, stage)
        self._at(clip_s + UPLOAD_S, self._finish, worker, job_id)

    def _clip_s(self, worker: Worker) -> float:
        """Return how long the next clip takes: the first any part of a clip, so that workers are never in step."""
        share = 1.0 + 0.1 * (self._random.random() - 0.5) if worker.reported_s else self._random.random()
        return share * self.scene.clip_s

    def _stage(self, worker: Worker, job_id: str, stage: str) -> None:
        token = worker.held[job_id]
        if stage == RENDER_STAGES[1]:
            worker.share.clip()
            self._timed("prefetch", worker.prefetch.once)
        if stage != Stage.MUX and time.monotonic() - worker.reported_s < REPORT_APART_S * self.scene.slow:
            return
        worker.reported_s = time.monotonic()
        self._timed("stage", self.ledger.attempts.stage, job_id, token, stage, lease_s=self.settings.lease_s)

    def _rendered(self, worker: Worker) -> None:
        self._task_event()
        with self.raw.pipeline(transaction=True) as pipe:
            pipe.zrem(self.prefix + "unacked_index", worker.tag)
            pipe.hdel(self.prefix + "unacked", worker.tag)
            pipe.execute()
        worker.busy = False
        self._fetch(worker)

    def _finish(self, worker: Worker, job_id: str) -> None:
        token = worker.held.pop(job_id)
        done = self._timed("finish", self.ledger.attempts.finish, job_id, token, make_result(job_id), index=True)
        self.calls["clips"] += bool(done)
        self.refused["finish"] += not done
        if done is Publication.DONE_AND_MAKES_ROOM:
            self._pump()

    def _pump(self) -> None:
        self._timed("pump", broker.pump, self.ledger, self.app, self.settings, PROFILE)

    # -- time ----------------------------------------------------------------------------------------------------

    def _at(self, delay_s: float, work: Callable[..., None], *args: Any) -> None:
        """Do something in so many seconds of the farm."""
        self._number += 1
        heapq.heappush(self._due, (time.monotonic() + delay_s * self.scene.slow, self._number, work, args))

    def _again(self, every_s: float, work: Callable[[], None]) -> None:
        self._at(every_s, self._again, every_s, work)
        work()

    def _timed(self, name: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self.calls[name] += 1
        return call(*args, **options)


def stretch(slow: float) -> None:
    """Make the ledger's own times as much longer as the farm is slower."""
    base.LIVE_S = 10.0 * slow
    dispatch.VANISHED_S = 60.0 * slow
    dispatch.MISSED_S = 3.0 * slow
    dispatch.LOOK_APART_S = 2.0 * slow
    dispatch.MEND_APART_S = 2.5 * slow


def submit(farm: SimulatedFarm, *, jobs: int, batches: int, owners: int, class_share: float) -> dict[str, float]:
    """Submit batches of equal length, the first for a class; return how long another client waited meanwhile."""
    context = multiprocessing.get_context("spawn")  # not a thread: it would wait for this one's Python
    over, waits = context.Event(), context.SimpleQueue()
    other = context.Process(target=ask, args=(farm.settings.redis_url, over, waits))
    other.start()
    for number in range(batches):
        worker_class = CLASSES[0] if number < class_share * batches else ""
        batch = Batch(
            name=f"b{number:05d}",
            owner=f"owner{number % owners:03d}",
            weight=1 + number % 3,
            worker_class=worker_class,
        )
        farm.ledger.batches.submit(batch, make_jobs(batch.name, max(1, jobs // batches)))
    over.set()
    ranked = sorted(waits.get())
    other.join()
    p50, p99 = (ranked[len(ranked) * part // 100] for part in (50, 99))
    return {"jobs": jobs, "other_p50_ms": round(p50 * 1000, 2), "other_p99_ms": round(p99 * 1000, 2)}


def ask(url: str, over: Any, waits: Any) -> None:
    """Ask the server something short until told to end, and send how long each answer took."""
    found: list[float] = []
    with redis.Redis.from_url(url) as client:
        while not found or not over.wait(0.005):
            asked = time.perf_counter()
            client.zcard("nothing")
            found.append(time.perf_counter() - asked)
    waits.put(found)


def make_jobs(batch: str, count: int) -> Iterator[RenderJob]:
    """Yield jobs with a prompt of usual length, each another."""
    for row in range(count):
        yield RenderJob(batch=batch, row=f"{row:06d}", spec=RenderSpec(prompt=PROMPT.format(row=row), profile=PROFILE))


def make_result(job_id: str) -> Result:
    """Return a result of the size that real ones have."""
    seconds = {"encode_text": 0.012, "denoise": 1.083, "decode": 0.075, "mux": 0.218, "upload": 0.094}
    return Result(
        key=f"bulk/000123-{job_id[:8]}.mp4",
        sha256="a1" * 32,
        size_bytes=1_234_567,
        latents_sha256="b2" * 32,
        seconds=seconds,
        gpu_s=1.17,
        energy_j=748.125,
    )


def celery_event() -> str:
    """Return an event of the size that Celery publishes."""
    properties = {
        "delivery_mode": 1,
        "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    body = base64.b64encode(json.dumps([{"hostname": "gpu0@host0001", "type": "task-started"}] * 4).encode()).decode()
    return json.dumps(
        {"body": body, "content-encoding": "utf-8", "content-type": "application/json", "properties": properties}
    )


def connected(url: str) -> tuple[socket.socket, Any]:
    """Return a plain connection to the server, logged in, and a parser of its answers."""
    parts = urlsplit(url)
    link = socket.create_connection((parts.hostname, parts.port))
    link.sendall(packed("AUTH", parts.password))
    assert link.recv(100).startswith(b"+OK")
    return link, hiredis.Reader()


def packed(*parts: object) -> bytes:
    """Return a command as it goes over the wire."""
    data = [str(part).encode() for part in parts]
    return b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in data)
