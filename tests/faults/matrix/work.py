"""Faults of the work itself: a prompt that kills, a GPU that fails, messages that lie."""

from __future__ import annotations

import time

from faults.matrix.fault import CLIP_S, HOSTS, Fault
from faults.matrix.stand import Stand
from reelmill_common.broker import make_app, send
from reelmill_common.ledger import Dispatch

POISONED = 3
FLOOD_S = 0.5


def nothing(stand: Stand) -> None:
    """Let the batch run: the row to compare with."""
    stand.wait_over(120)


def poison(stand: Stand) -> None:
    """Let the batch run; its poisoned prompts do the rest."""
    stand.wait_over(180)
    deaths = sum(len(host.running.events("child.lost")) for host in stand.hosts)
    stand.remarks.append(f"{POISONED} such prompts killed {deaths} processes and failed")


def start_with_broken_gpu(stand: Stand) -> None:
    """One of three workers passes its gate and then fails whatever it renders, at once."""
    stand.start(HOSTS - 1)
    stand.add_host(renderer=f"fixed:{CLIP_S / 4}:broken")


def bad_gpu(stand: Stand) -> None:
    """Let the batch run; one of the workers is the fault."""
    stand.wait_over(180)
    host = stand.hosts[-1]
    view = stand.farm.worker(host.node)
    failed = len(host.running.events("clip.failed"))
    stand.remarks.append(f"it failed {failed} attempts; it is {view.state if view else 'gone'} at the end")


def lie(stand: Stand) -> None:
    """Send every dispatched job's message twice more, and messages of its last and next generation with it."""
    app, settings = make_app(stand.farm.settings), stand.farm.settings
    lied_about: set[tuple[str, int]] = set()
    count = 0
    while not stand.over:
        jobs = [job for job in stand.farm.ledger.jobs.page("night") if job.job_id in stand.in_flight()]
        for job in jobs:
            if (job.job_id, job.generation) in lied_about:
                continue
            lied_about.add((job.job_id, job.generation))
            for generation in (job.generation, job.generation, job.generation - 1, job.generation + 1):
                lie_ = Dispatch(
                    job_id=job.job_id, generation=generation, lane="tiny", priority=job.priority, label="a lie"
                )
                count += send(app, settings.farm, [lie_])
        time.sleep(FLOOD_S / 10)
    stand.remarks.append(f"{count} messages too many")


ROWS = [
    Fault(name="none", title="no fault", how="for comparison", inject=nothing, once=True),
    Fault(
        name="poison",
        title="a prompt kills the process that renders it",
        how="`[kill]` in the prompt, known to the fixed renderer",
        inject=poison,
        doom=POISONED,
    ),
    Fault(
        name="bad-gpu",
        title="a GPU fails every job",
        how="renderer `fixed:SECONDS:broken` in one of three workers: passes its gate, fails each clip",
        inject=bad_gpu,
        prepare=start_with_broken_gpu,
    ),
    Fault(
        name="messages",
        title="duplicated and stale messages",
        how="each message sent twice more, and with the generation before and after",
        inject=lie,
        prepare=lambda stand: stand.start(2),
        once=True,
    ),
]
