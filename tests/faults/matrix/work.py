"""Faults of the work itself: a prompt that kills, a GPU that fails, messages that lie."""

from __future__ import annotations

import time

from faults.matrix.fault import CLIP_S, HOSTS, Fault
from faults.matrix.testbed import Testbed
from reelmill_common.broker import make_app, send
from reelmill_common.ledger import Dispatch

POISONED = 3
FLOOD_S = 0.5


def nothing(testbed: Testbed) -> None:
    """Let the batch run: the row to compare with."""
    testbed.wait_over(120)


def poison(testbed: Testbed) -> None:
    """Let the batch run; its poisoned prompts do the rest."""
    testbed.wait_over(180)
    deaths = sum(len(host.running.events("child.lost")) for host in testbed.hosts)
    testbed.remarks.append(f"{POISONED} such prompts killed {deaths} processes and failed")


def start_with_broken_gpu(testbed: Testbed) -> None:
    """One of three workers passes its gate and then fails whatever it renders, at once."""
    testbed.start(HOSTS - 1)
    testbed.add_host(renderer=f"fixed:{CLIP_S / 4}:broken")


def bad_gpu(testbed: Testbed) -> None:
    """Let the batch run; one of the workers is the fault."""
    testbed.wait_over(180)
    host = testbed.hosts[-1]
    view = testbed.farm.worker(host.node)
    failed = len(host.running.events("clip.failed"))
    testbed.remarks.append(f"it failed {failed} attempts; it is {view.state if view else 'gone'} at the end")


def lie(testbed: Testbed) -> None:
    """Send every dispatched job's message twice more, and messages of its last and next generation with it."""
    app, settings = make_app(testbed.farm.settings), testbed.farm.settings
    lied_about: set[tuple[str, int]] = set()
    count = 0
    while not testbed.over:
        jobs = [job for job in testbed.farm.ledger.jobs.page("night") if job.job_id in testbed.in_flight()]
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
    testbed.remarks.append(f"{count} messages too many")


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
        prepare=lambda testbed: testbed.start(2),
        once=True,
    ),
]
