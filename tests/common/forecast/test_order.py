"""The forecast holds to what pump does: farms at random, on a real Valkey, with the real pump."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from common.ledger_steps import LANE, claim, make_result
from reelmill_common.forecast import Course, Paces, Position, Target
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Dispatch, JobView, Ledger, WorkerInfo
from reelmill_common.settings import Settings

CLASSES = ("h100", "studio")
OWNERS = ("", "ann", "bob")
DEPTH = 2
_farms = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A batch of a farm at random.

    Attributes:
        own: Priorities that its first jobs are given.
        hours: Hours until its window opens; None: it has no window.
    """

    count: int
    policy: Batch
    own: Sequence[int]
    paused: bool
    hours: int | None


@dataclass(frozen=True, kw_only=True)
class Farm:
    workers: Sequence[Sequence[str]]
    owners: Sequence[tuple[int, int]]
    batches: Sequence[Planned]
    before: int


@st.composite
def farms(draw: st.DrawFn) -> Farm:
    batches: list[Planned] = []
    for index in range(draw(st.integers(1, 5))):
        names = [item.policy.name for item in batches]
        after = (draw(st.sampled_from(names)),) if names and draw(st.integers(0, 4)) == 0 else ()
        policy = Batch(
            name=f"b{index}",
            priority=draw(st.sampled_from([1, 5, 5, 9])),
            weight=draw(st.sampled_from([1, 1, 2, 3])),
            max_in_flight=draw(st.sampled_from([0, 0, 0, 1, 2])),
            owner=draw(st.sampled_from(OWNERS)),
            worker_class=draw(st.sampled_from(["", "", *CLASSES])),
            after=after,
        )
        batches.append(
            Planned(
                count=draw(st.integers(1, 8)),
                policy=policy,
                own=draw(st.lists(st.sampled_from([1, 5, 9]), max_size=2)),
                paused=draw(st.integers(0, 6)) == 0,
                hours=draw(st.sampled_from([None, None, None, 0, 6])),
            )
        )
    return Farm(
        workers=draw(st.lists(st.lists(st.sampled_from(CLASSES), unique=True, max_size=2), min_size=1, max_size=4)),
        owners=draw(st.tuples(*[st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from([0, 0, 1, 2])) for _ in OWNERS])),
        batches=batches,
        before=draw(st.integers(0, 10)),
    )


@dataclass(kw_only=True)
class Real:
    """A farm that does what its workers do, one step after the other; each clip takes equally long."""

    ledger: Ledger
    workers: dict[str, list[str]]
    sent: list[Dispatch] = field(default_factory=list)
    running: list[tuple[str, Claimed]] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    started: list[tuple[str, str, str]] = field(default_factory=list)

    def step(self) -> bool:
        """Let idle workers take what pump sends, and then the first that is done be done; return whether one was."""
        while True:
            self.sent += self.ledger.dispatch.pump(LANE, depth=DEPTH)
            if not self._claim():
                break
        if not self.running:
            return False
        worker, claimed = self.running.pop(0)
        self.ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
        self.idle.append(worker)
        return True

    def _claim(self) -> bool:
        for worker in self.idle:
            lanes = self.workers[worker]
            mine = [item for item in self.sent if item.lane in lanes]
            if mine:
                item = min(mine, key=lambda item: (-item.priority, item.lane == LANE))
                self.sent.remove(item)
                self.idle.remove(worker)
                claimed = claim(self.ledger, item, worker=worker)
                self.running.append((worker, claimed))
                self.started.append((worker, claimed.batch, claimed.job_id))
                tick(self.ledger)
                return True
        return False


def tick(ledger: Ledger) -> None:
    """Wait for the server's next millisecond: what happens in the same one has no order that it could tell."""
    now = ledger.timetable.now()
    while int(ledger.timetable.now().timestamp() * 1000) == int(now.timestamp() * 1000):
        pass


def build(ledger: Ledger, farm: Farm) -> Real:
    workers: dict[str, list[str]] = {}
    for index, classes in enumerate(farm.workers):
        workers[f"gpu{index}@test"] = lanes = [*(f"{LANE}@{name}" for name in classes), LANE]
        ledger.workers.register(f"gpu{index}@test", LANE, WorkerInfo())
        ledger.workers.ready(f"gpu{index}@test", WorkerInfo(), lanes=lanes)
    for owner, (weight, cap) in zip(OWNERS, farm.owners, strict=True):
        ledger.owners.set(owner, weight=weight, max_in_flight=cap)
    for batch in farm.batches:
        name = batch.policy.name
        jobs = [
            RenderJob(batch=name, row=f"r{row}", spec=RenderSpec(prompt=f"clip {row}", profile=LANE))
            for row in range(batch.count)
        ]
        ledger.batches.submit(batch.policy, jobs)
        if batch.hours is not None:
            opens = (ledger.timetable.now().hour + batch.hours) % 24
            ledger.timetable.set_window(name, f"{opens:02}:00-{(opens + 4) % 24:02}:00 UTC")
        for job, priority in zip(jobs, batch.own, strict=False):
            ledger.jobs.prioritize(job.job_id, priority)
        if batch.paused:
            ledger.batches.pause(name)
    return Real(ledger=ledger, workers=workers, idle=list(workers))


def in_the_middle(real: Real, farm: Farm) -> None:
    """Do some of the work, and stop with clips that run and none that is only dispatched."""
    for _ in range(farm.before):
        if not real.step():
            break
    for batch in real.ledger.batches.all():  # a pause takes back what was sent, and a resume changes nothing else
        if batch.counts[JobState.DISPATCHED]:
            real.ledger.batches.pause(batch.name)
            real.ledger.batches.resume(batch.name)
    real.sent.clear()
    real.idle.sort()  # who has been idle for longest the ledger does not know
    real.started.clear()


def paces() -> Paces:
    """Return that each clip takes half a minute, which is longer than the real ones have run already."""
    found = Paces()
    spec = RenderSpec(prompt="a fox", profile=LANE)
    result = replace(make_result(), seconds={"denoise": 30.0})
    found.add(
        JobView(
            job_id="", batch="", row="", state=JobState.SUCCEEDED, spec=spec, priority=5, generation=1, attempts=1,
            result=result,
        )
    )  # fmt: skip
    return found


def position_of(ledger: Ledger, job_id: str) -> Position | None:
    job = ledger.jobs.get(job_id)
    place = ledger.jobs.place(job)
    course = Course(ledger.overview.backlog(), paces(), depth=DEPTH)
    course.play(
        target=Target(job_id=job_id, batch=job.batch, lane=job.lane, priority=job.priority, before=place.before)
    )
    return course.position


@bounded(max_examples=300)
@given(farm=farms(), pick=st.integers(0, 1000))
def check(farm: Farm, pick: int, server: Settings) -> None:
    with Ledger.connect(replace(server, farm=f"{server.farm}-{next(_farms)}")) as ledger:
        real = build(ledger, farm)
        in_the_middle(real, farm)
        course = Course(ledger.overview.backlog(), paces(), depth=DEPTH)
        course.play()
        waiting = [
            job.job_id
            for batch in ledger.batches.all()
            for job in ledger.jobs.page(batch.name)
            if job.state is JobState.QUEUED
        ]
        target = waiting[pick % len(waiting)] if waiting else ""
        position = position_of(ledger, target) if target else None
        lanes = {worker for worker, served in real.workers.items() if target and ledger.jobs.get(target).lane in served}

        while real.step():
            pass

        soon = [start for start in course.starts if start.at_s < 3600]  # and not when a window opens
        assert [(start.worker, start.batch) for start in soon] == [item[:2] for item in real.started]
        mine = [job_id for worker, _, job_id in real.started if worker in lanes]
        if target in mine:
            assert position is not None
            assert position.total == mine.index(target)


def test_what_the_forecast_says_starts_next_is_what_pump_sends(settings: Settings, no_worker_timeout: None) -> None:
    check(server=settings)
