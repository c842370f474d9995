"""The testbed of one row: a Valkey of its own, a bucket of its own, workers with a proxy to each, and one batch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.matrix.proxies import Proxies, StoreProxy, TcpProxy, proxies
from faults.matrix.recorder import EventRecord, EventRecorder
from fixtures.farm import Farm, RunningWorker, specs
from fixtures.replicas import Replicated, replicated
from fixtures.s3 import S3Server
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

BATCH = "night"
NAMES = "abcdefgh"
LOOK_S = 0.02
IN_FLIGHT = (JobState.DISPATCHED, JobState.RUNNING)


@dataclass(slots=True, kw_only=True)
class Host:
    """One `reelmill worker` with a state folder of its own, as on a machine of its own.

    Attributes:
        changes: Settings that differ from the farm's.
        env: Environment that differs from the farm's.
    """

    name: str
    redis_proxy: TcpProxy
    store_proxy: TcpProxy
    changes: Mapping[str, Any]
    env: Mapping[str, str]
    running: RunningWorker

    @property
    def node(self) -> str:
        return self.running.node


@dataclass(slots=True, kw_only=True)
class Injection:
    """One injection of a fault.

    Attributes:
        at_s: When recovery begins to count, Unix seconds: now, or the end of an outage.
        jobs: Jobs in flight on the farm; recovered when each is published.
        workers: Nodes that have to come back: recovered when each has claimed a job again.
        what: What was hit, for the log.
    """

    at_s: float
    jobs: frozenset[str]
    workers: frozenset[str]
    what: str


@dataclass(slots=True, kw_only=True)
class Testbed:
    """All that a fault can hit, and the means to hit it.

    Attributes:
        valkey: The Redis of a row that has no replica; else it serves nobody.
        pair: The Redis and its replica of a row that has one.
    """

    farm: Farm
    valkey: ValkeyServer
    pair: Replicated | None
    proxies: Proxies
    store: StoreProxy
    recorder: EventRecorder
    hosts: list[Host] = field(default_factory=list[Host])
    jobs: list[str] = field(default_factory=list[str])
    doomed: set[str] = field(default_factory=set[str])
    injections: list[Injection] = field(default_factory=list[Injection])
    remarks: list[str] = field(default_factory=list[str])
    mounts: ExitStack = field(default_factory=ExitStack)

    # -- the farm ------------------------------------------------------------------------------------------------

    def start(self, count: int, **changes: Any) -> None:
        """Start workers side by side and wait until all may take jobs."""
        for _ in range(count):
            self.add_host(ready=False, **changes)
        for host in self.hosts:
            self.farm.wait_ready(host.running)

    def add_host(self, *, ready: bool = True, env: Mapping[str, str] | None = None, **changes: Any) -> Host:
        """Start one more worker; without `ready` it may still be loading, or never get ready."""
        name = NAMES[len(self.hosts)]
        redis_port = self.valkey.port if self.pair is None else self.pair.primary.port
        redis_proxy, store_proxy = self.proxies.tcp(redis_port), self.proxies.tcp(self.store.port)
        changes = {
            "state_dir": self.farm.folder / name,
            "redis_url": self.farm.settings.redis_url.replace(f":{redis_port}/", f":{redis_proxy.port}/"),
            "s3_endpoint": f"http://127.0.0.1:{store_proxy.port}",
        } | changes
        running = self.farm.start(ready=ready, name=name, env=env, **changes)
        host = Host(
            name=name, redis_proxy=redis_proxy, store_proxy=store_proxy, changes=changes, env=env or {}, running=running
        )
        self.hosts.append(host)
        return host

    def start_again(self, host: Host) -> None:
        """Start a host's worker anew, as its service would; it loads on its own time."""
        node = host.node
        host.running = self.farm.start(ready=False, name=host.name, env=host.env, **host.changes)
        host.running.node = node

    def submit(self, count: int, *, doomed: Sequence[RenderSpec] = (), profile: str = "tiny") -> None:
        """Submit the batch. Doomed specs cannot succeed; they are spread over it."""
        rows = specs(count - len(doomed), profile=profile)
        for number, spec in enumerate(doomed):
            rows.insert((2 * number + 1) * count // (2 * len(doomed)), spec)
        self.jobs = self.farm.submit(BATCH, rows)
        self.doomed = {job for job, spec in zip(self.jobs, rows, strict=True) if spec in doomed}

    @property
    def over(self) -> bool:
        """Whether nothing of the batch remains."""
        return not self.farm.ledger.batches.get(BATCH).remaining

    def wait_stored(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until that many jobs have ended well, so that a fault hits a farm in full swing."""
        deadline = time.monotonic() + timeout_s
        while self.farm.ledger.batches.get(BATCH).counts[JobState.SUCCEEDED] < count and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    def wait_over(self, timeout_s: float) -> bool:
        """Wait for the batch's end; False when it did not come in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with suppress(ConnectionError):
                if self.over:
                    return True
            time.sleep(10 * LOOK_S)
        return False

    # -- injections ---------------------------------------------------------------------------------------------------

    def in_flight(self) -> frozenset[str]:
        """Return the jobs that are dispatched or running, on whatever worker."""
        jobs = self.farm.ledger.jobs.page(BATCH, states=IN_FLIGHT)
        return frozenset(job.job_id for job in jobs) - self.doomed

    def held(self, host: Host) -> frozenset[str]:
        """Return the jobs under a host's leases."""
        view = self.farm.worker(host.node)
        return frozenset(view.jobs if view else ()) - self.doomed

    def record_injection(
        self, what: str, *, jobs: frozenset[str], back: Sequence[Host] = (), at_s: float = 0.0
    ) -> Injection:
        """Note an injection, now or at a given time."""
        workers = frozenset(host.node for host in back)
        injection = Injection(at_s=at_s or time.time(), jobs=jobs, workers=workers, what=what)
        self.injections.append(injection)
        return injection

    def wait_recovered(self, injection: Injection, timeout_s: float = 90.0) -> bool:
        """Wait until an injection is no longer felt, or the batch is over."""

        def felt(records: list[EventRecord]) -> bool | None:
            later = [record for record in records if record.at_s >= injection.at_s]
            claimed = {record.worker for record in later if record.name == "job.claimed"}
            ended = {record.job_id for record in later if record.name in ("job.finished", "job.failed")}
            return True if injection.jobs <= ended and injection.workers <= claimed else None

        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.recorder.wait_for(felt, after=0, timeout_s=0.5):
                return True
            with suppress(ConnectionError):
                if self.over:
                    return False
        return False

    def child(self, host: Host) -> int:
        """Return the process that renders, or 0 while there is none that may take jobs."""
        view = self.farm.worker(host.node)
        pid = view.info.pid if view and view.state is WorkerState.READY else 0
        return pid if pid and Path(f"/proc/{pid}").exists() else 0

    def catch(self, host: Host, stage: str, timeout_s: float = 20.0) -> int:
        """Freeze a host's child while a job of it is at a stage; return its pid, or 0 if that was not to be had."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self.over:
            seen = len(self.recorder.records)
            found = self.recorder.wait_for(_begun(host.node, stage), after=seen, timeout_s=1.0)
            pid = self.child(host)
            if found is None or not pid:
                continue
            os.kill(pid, signal.SIGSTOP)
            job = self.farm.ledger.jobs.get(found)
            if job.state is JobState.RUNNING and job.stage == stage and job.worker == host.node:
                return pid
            os.kill(pid, signal.SIGCONT)
        return 0


def _begun(node: str, stage: str) -> Any:
    def find(records: list[EventRecord]) -> str | None:
        return next((record.job_id for record in records if record.worker == node and record.stage == stage), None)

    return find


def processes(worker: RunningWorker) -> list[int]:
    """Return a worker's living processes: supervisor, Celery parent, and whatever the parent has started."""
    found = [worker.process.pid]
    for pid in found:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


@contextmanager
def testbed(folder: Path, s3: S3Server, *, renderer: str, with_replica: bool, sentinels: int) -> Iterator[Testbed]:
    """Set a testbed up in an empty folder; everything in it is ended with the block."""
    bucket = f"{folder.name}-{time.time_ns():x}"
    s3.client().create_bucket(Bucket=bucket)
    valkey = ValkeyServer.start(folder / "valkey")
    with ExitStack() as stack:
        pair = stack.enter_context(replicated(folder / "pair", sentinels=sentinels)) if with_replica else None
        url = valkey.url if pair is None else pair.url
        base = Settings(redis_url=url, profile="tiny", renderer=renderer, log_format="json")
        farm = Farm(settings=s3.settings(base, bucket=bucket), folder=folder, env=s3.credentials())
        opened = stack.enter_context(proxies())
        store = opened.store(int(s3.endpoint.rpartition(":")[2]))
        recorder = EventRecorder(ledger=farm.ledger)
        made = Testbed(farm=farm, valkey=valkey, pair=pair, proxies=opened, store=store, recorder=recorder)
        recorder.start()
        try:
            yield made
        finally:
            recorder.stop()
            farm.close()
            made.mounts.close()
            made.valkey.kill()
