"""Shows with real workers what the queue promises: shares by weight, an urgent clip at once, `prioritize` on the next.

    python benchmarks/fairness.py

Real parts throughout: an embedded Valkey, several `reelmill worker` with the renderer of fixed duration, a folder
store. Everything is counted from the farm's event stream, whose order is that of the ledger. Exit status 1: a promise
was broken.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from statistics import median

from dispatch import commit, embedded, wait, worker

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Event, WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill

WEIGHTS = {"first": 1, "second": 1, "third": 2}
WINDOW = 100
"""Clips in a row over which shares are counted."""
MOST_OFF = 0.05
"""Share of a window's clips by which a batch's share may be off."""
QUIET_S = 60.0
LATE_CLIPS = 100
STARTED, STORED = "job.claimed", "job.finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What the batches had of any `WINDOW` clips in a row while all of them had clips waiting.

    Attributes:
        windows: How many windows there were.
        whole: Share of all of these clips, by batch.
        least, most: Smallest and largest share of one window, by batch.
    """

    windows: int
    whole: Mapping[str, float]
    least: Mapping[str, float]
    most: Mapping[str, float]

    @property
    def worst(self) -> float:
        """Largest distance of a share from its due."""
        return max(max(self.most[name] - due, due - self.least[name]) for name, due in DUE.items())


DUE = {name: weight / sum(WEIGHTS.values()) for name, weight in WEIGHTS.items()}


def main() -> None:
    """Run all three parts and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.05, help="duration of one render, where shares are counted")
    parser.add_argument("--later", type=float, default=0.5, help="duration of one render for the other two parts")
    parser.add_argument("--clips", type=int, default=1000, help="clips of each of the three batches")
    parser.add_argument("--waiting", type=int, default=100_000, help="clips that wait before the urgent one")
    parser.add_argument("--urgent", type=int, default=20, help="urgent clips, one after the other")
    options = parser.parse_args()
    print(
        f"python {platform.python_version()}  cores {os.cpu_count()}  celery {version('celery')}  "
        f"{options.workers} workers  renders of {options.seconds:g} and {options.later:g} s  "
        f"commit {commit()}"
    )
    with embedded(options.seconds) as settings:
        kept = measure(settings, options)
    sys.exit(0 if kept else 1)


def measure(settings: Settings, options: argparse.Namespace) -> bool:
    """Run the parts on one farm; return whether every promise was kept."""
    with Reelmill(settings) as farm:
        for name, weight in WEIGHTS.items():
            submit(farm, Batch(name=name, weight=weight), options.clips)
        after = farm.ledger.events.newest()
        with workers(farm, settings, options.workers):
            events = until_one_is_stored(farm, after, options.clips)
            farm.cancel_all(list(WEIGHTS))
        kept = [print_shares(what, shares(events, what, options.clips)) for what in (STARTED, STORED)]
        with workers(farm, replace(settings, renderer=f"fixed:{options.later}"), options.workers):
            submit(farm, Batch(name="night"), options.waiting)
            kept += [hurry(farm, options), prioritize(farm, options)]
            farm.cancel("night")
    return all(kept)


def until_one_is_stored(farm: Reelmill, after: str, clips: int) -> list[Event]:
    """Return what happened until all clips of one batch were stored."""
    stored, events = Counter[str](), list[Event]()
    for event in follow(farm, after):
        events.append(event)
        stored[event.batch] += event.name == STORED
        if stored[event.batch] == clips:
            break
    return events


def shares(events: Sequence[Event], what: str, clips: int) -> Shares:
    """Count every window of one kind of event, from the first clip to the one with which a batch runs out."""
    order = [event.batch for event in events if event.name == what]
    last = min(place for place in (_place(order, name, clips) for name in WEIGHTS) if place)
    order = order[:last]
    windows = [Counter(order[start : start + WINDOW]) for start in range(len(order) - WINDOW + 1)]
    return Shares(
        windows=len(windows),
        whole={name: order.count(name) / len(order) for name in WEIGHTS},
        least={name: min(window[name] for window in windows) / WINDOW for name in WEIGHTS},
        most={name: max(window[name] for window in windows) / WINDOW for name in WEIGHTS},
    )


def print_shares(what: str, found: Shares) -> bool:
    """Print the shares; return whether all are within bounds."""
    print(f"\nshares of any {WINDOW} clips in a row, by {what}, {found.windows:,} windows")
    print(f"{'batch':12}{'weight':>8}{'due':>8}{'all':>8}{'least':>8}{'most':>8}")
    for name, weight in WEIGHTS.items():
        values = (DUE[name], found.whole[name], found.least[name], found.most[name])
        print(f"{name:12}{weight:>8}" + "".join(f"{value:>8.1%}" for value in values))
    print(f"worst: {100 * found.worst:.0f} of {WINDOW} clips off (at most {MOST_OFF * WINDOW:.0f})")
    return found.worst <= MOST_OFF


def hurry(farm: Reelmill, options: argparse.Namespace) -> bool:
    """Submit urgent clips behind all that waits, one by one; print what starts before them."""
    most, waits, sent = Counter[int](), list[float](), list[float]()
    for number in range(options.urgent):
        name = f"urgent-{number}"
        after = farm.ledger.events.newest()
        submit(farm, Batch(name=name, priority=9), 1)
        began, ahead = 0.0, Counter[str]()
        for event in follow(farm, after):
            if event.batch == name and event.name == "batch.submitted":
                began = _at(event)
            elif began and event.name == "job.dispatched" and event.batch == name:
                sent.append(_at(event) - began)
            elif began and event.name == STARTED:
                if event.batch == name:
                    waits.append(_at(event) - began)
                    break
                ahead[event.worker] += 1
        most[max(ahead.values(), default=0)] += 1
    left = farm.batch("night").remaining
    print(f"\n{options.urgent} urgent clips (priority 9), one after the other, behind {left:,} that wait")
    print(f"clips that one worker started before it, at most: {max(most)} (wanted: at most 1)")
    print("  " + ", ".join(f"{count} times {clips}" for clips, count in sorted(most.items())))
    for what, times in (("submit to dispatch", sent), ("submit to start", waits)):
        print(f"{what}: median {median(times) * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms")
    return max(most) <= 1


def prioritize(farm: Reelmill, options: argparse.Namespace) -> bool:
    """Give a batch that waits behind all others the highest priority; print what of theirs starts after that."""
    submit(farm, Batch(name="late", priority=1), LATE_CLIPS)
    after = farm.ledger.events.newest()
    wait(lambda: farm.ledger.events.newest() != after, "a sign of the workers")
    farm.prioritize("late", 9)
    prioritized, begun, before, between = False, 0, Counter[str](), 0
    for event in follow(farm, after):
        prioritized = prioritized or event.name == "batch.prioritized"
        if not prioritized or event.name != STARTED:
            continue
        if event.batch == "late":
            begun += 1
        elif begun:
            between += 1
        else:
            before[event.worker] += 1
        if begun == LATE_CLIPS:
            break
    most = max(before.values(), default=0)
    print(f"\n`prioritize` of a batch of {LATE_CLIPS} from priority 1 to 9")
    print(f"clips of others that one worker started before its first, at most: {most} (wanted: at most 1)")
    print(f"clips of others between its first and its last: {between} (at most one a worker)")
    return most <= 1 and between <= options.workers


def submit(farm: Reelmill, batch: Batch, clips: int) -> None:
    """Submit different short clips."""
    specs = (RenderSpec(prompt=f"a fox at river {n}", seed=n, frames=5, profile="tiny") for n in range(clips))
    farm.submit_jobs(batch, [RenderJob(batch=batch.name, row=f"{n:06d}", spec=spec) for n, spec in enumerate(specs)])


@contextmanager
def workers(farm: Reelmill, settings: Settings, count: int) -> Iterator[None]:
    """Run workers for the length of a block, which begins when all are ready to render."""
    with ExitStack() as running:
        for number in range(count):
            running.enter_context(worker(settings, name=f"w{number}"))
        wait(lambda: sum(view.state is WorkerState.READY for view in farm.workers()) == count, "ready workers")
        yield


def follow(farm: Reelmill, after: str) -> Iterator[Event]:
    """Yield all events after one, as they come; end the program if there are none for long."""
    heard = time.monotonic()
    while time.monotonic() - heard < QUIET_S:
        for event in farm.ledger.events.read(after=after, block_s=1.0):
            after, heard = event.event_id, time.monotonic()
            yield event
    raise SystemExit(f"nothing happened for {QUIET_S:.0f} s")


def _place(order: Sequence[str], name: str, count: int) -> int:
    """Return how many clips had been counted when a batch had its last one; 0 if it never had."""
    places = [place for place, batch in enumerate(order, start=1) if batch == name]
    return places[count - 1] if len(places) >= count else 0


def _at(event: Event) -> float:
    return int(event.event_id.partition("-")[0]) / 1000


if __name__ == "__main__":
    main()
