"""A fault: how it is injected, and what the farm promises while it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faults.matrix.testbed import Testbed

JOBS = 210
CLIP_S = 0.3
HOSTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the matrix. None is lost and none published twice: that is promised in all rows.

    Attributes:
        title: What happens, for the table.
        how: How it is made to happen.
        inject: Does it, while the batch runs; returns when nothing of it remains to be done.
        prepare: Starts the workers, if not three plain ones.
        doom: How many jobs cannot succeed by themselves.
        clip_s: Seconds that a render takes.
        model: The tiny model renders, not the test card.
        recovery_s: Most seconds until the jobs that were hit are published; None: not promised.
        once: No job may be rendered twice.
        forgets: Redis forgets what it has answered, so a finish that it accepted may be accepted again.
        sentinels: Sentinels that watch the Redis of the row, which has a replica then.
        replicated: The Redis of the row has a replica, also without Sentinels.
        jobs: Jobs of its batch.
    """

    name: str
    title: str
    how: str
    inject: Callable[[Testbed], None]
    prepare: Callable[[Testbed], None] = lambda testbed: testbed.start(HOSTS)
    doom: int = 0
    clip_s: float = CLIP_S
    model: bool = False
    recovery_s: float | None = None
    once: bool = False
    sentinels: int = 0
    replicated: bool = False
    forgets: bool = False
    jobs: int = JOBS


class NotHere(Exception):
    """This machine does not permit the fault; the row is shown as not run, with the reason."""
