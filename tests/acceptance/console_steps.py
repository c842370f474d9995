"""A night on a farm for the console's pages: batches in every state, GPUs that work, rest and are quarantined."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

from fixtures.farm import Farm, RunningWorker
from fixtures.hand import Hand
from reelmill_common.broker import make_app, pump
from reelmill_common.calendar.cron import Cron
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.ledger.marks import ClipChoice, ClipMark
from reelmill_common.schedules import Schedule

BUSY, DONE = "harbour-night-7", "sunrise-tests"
PROMPTS = (
    "A big green ball rolls right on a brown floor at dusk",
    "Two yellow stars rise over a blue floor at night",
    "A red ball bounces over a green floor at noon",
    "A pink ball falls over a white floor at dawn",
    "A blue ball jumps on a red floor in daylight",
    "A purple ball moves to the left over a grey floor at sunrise",
)
STAGES = ("encode_text", "denoise 1/3", "denoise 2/3", "denoise 3/3", "upload")
BEAT_S = 2.0


def specs(count: int, *, frames: int = 33) -> list[RenderSpec]:
    """Return each prompt with four seeds, and again with four others."""
    grid = product(range(count // 24 + 1), PROMPTS, range(4))
    pairs = [(prompt, block * 4 + seed) for block, prompt, seed in grid]
    return [RenderSpec(prompt=prompt, seed=seed, frames=frames, profile="tiny") for prompt, seed in pairs[:count]]


@dataclass(slots=True, kw_only=True)
class Night:
    """The farm's other workers: rows of the ledger without a process, which report like living ones."""

    farm: Farm
    names: list[str] = field(default_factory=list[str])
    ended: threading.Event = field(default_factory=threading.Event)

    def worker(self, name: str, gpu: str, arch: str) -> Hand:
        host = name.partition("@")[2]
        plan = {"gpu": gpu, "device": "cuda:0", "dtype": "bfloat16"}
        versions = {"torch": "2.9.1", "python": "3.11.2"}
        info = WorkerInfo(host=host, plan=plan, classes=[arch], versions=versions, renderer="model")
        self.farm.ledger.workers.register(name, "tiny", info)
        self.farm.ledger.workers.ready(name, info)
        self.names.append(name)
        return Hand(settings=self.farm.settings, ledger=self.farm.ledger, name=name)

    def beat(self) -> None:
        """Report for all until the night is over; in a thread of its own."""
        with Ledger.connect(self.farm.settings) as ledger:
            while not self.ended.wait(BEAT_S):
                for name in self.names:
                    ledger.workers.beat(name)


@contextmanager
def night(farm: Farm, worker: RunningWorker) -> Iterator[Night]:
    """Fill the farm with clips that a real worker has made; it is paused afterwards."""
    submit(farm, Batch(name=DONE, owner="grace"), specs(12))
    submit(farm, Batch(name=BUSY, owner="ada", priority=6), specs(14))
    farm.wait_done(BUSY)
    farm.wait_done(DONE)
    farm.ledger.workers.pause(worker.node)
    submit(farm, Batch(name=BUSY, owner="ada", priority=6), specs(120))
    at_night = Night(farm=farm)
    beating = threading.Thread(target=at_night.beat)
    beating.start()
    try:
        at_work(at_night)
        wait_for_others(farm)
        yield at_night
    finally:
        at_night.ended.set()
        beating.join()
        for name in at_night.names:
            farm.ledger.workers.retire(name)


def submit(farm: Farm, batch: Batch, asked: list[RenderSpec]) -> list[RenderJob]:
    jobs = [RenderJob(batch=batch.name, row=f"clip-{number:03d}", spec=spec) for number, spec in enumerate(asked)]
    farm.ledger.batches.submit(batch, jobs)
    pump(farm.ledger, make_app(farm.settings), farm.settings, "tiny")
    return jobs


def at_work(at_night: Night) -> None:
    """Give GPUs a job each in some stage, let some jobs fail, and quarantine one."""
    ledger = at_night.farm.ledger
    gpus = [(f"gpu{number}@render-1", "NVIDIA H200", "sm90") for number in range(4)]
    gpus += [(f"gpu{number}@render-2", "NVIDIA RTX A6000", "sm86") for number in range(2)]
    hands = [at_night.worker(*gpu) for gpu in gpus]
    for code, message in (("out_of_memory", "CUDA out of memory"), ("bad_output", "all frames are black")) * 2:
        hands[5].fail(hands[5].claim(), code, message)
    for hand, stage in zip(hands[:5], STAGES, strict=True):
        claimed = hand.claim()
        ledger.attempts.stage(claimed.job_id, claimed.token, stage, lease_s=600)
    ledger.workers.quarantine(hands[5].name, "3 jobs in a row failed with bad_output (all frames are black)")


def wait_for_others(farm: Farm) -> None:
    """Add what waits: for its window, for a person, for a time of day; and what people chose."""
    ledger = farm.ledger
    now = datetime.now(UTC)
    hours = f"{now + timedelta(hours=2):%H}:00-{now + timedelta(hours=7):%H}:00 UTC"
    submit(farm, Batch(name="catalogue-spring", owner="grace", window=hours), specs(3000))
    submit(farm, Batch(name="city-rain", owner="grace", priority=4), specs(2000))
    submit(farm, Batch(name="title-sequence", owner="ada"), specs(40))
    ledger.batches.pause("title-sequence")
    cron = Cron.parse("0 22 * * *", "Europe/Vienna")
    ledger.schedules.add(Schedule(name="nightly", cron=cron, policy={"owner": "ada"}), rows(12))
    ledger.schedules.add(Schedule(name="weekly", cron=Cron.parse("0 20 * * fri", "Europe/Vienna"), policy={}), rows(40))
    ledger.schedules.pause("weekly")
    done = ledger.jobs.page(DONE)
    for job, mark in ((done[1], ClipMark.FAVOURITE), (done[4], ClipMark.FAVOURITE), (done[6], ClipMark.REJECT)):
        ledger.choices.set(job.job_id, ClipChoice(mark=mark, note="the light is right" if mark else ""))


def rows(count: int) -> list[tuple[str, RenderSpec]]:
    return [(f"row-{number}", spec) for number, spec in enumerate(specs(count))]
