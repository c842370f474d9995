"""`python benchmarks/autoscale.py`: a week of batches on paper, and what each way to set the number of workers costs.

The policy is the farm's own (`forecast.Autoscaler`), asked each minute of the week. Beside it: always the same number
of workers, and the usual rule for queues, a worker for each ten clips that wait (with Kubernetes' five minutes before
it goes down). Workers cost from when they are asked for, and render a lead later. `--picture` draws the week as SVG.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reelmill_common.calendar.windows import Windows
from reelmill_common.forecast import Aims, Autoscaler, Paces
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, WorkerCapacity

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
WEEK_S, STEP_S = 7 * 86_400, 60
CLIP_S = 3.4
"""A clip of an RTX 4090."""
MOST = 64
LEAD_S = 300.0
LANE = "fastwan-qad-fp8"
HOUR = 3600.0
NIGHT = "22:00-07:00 UTC"
DOWN_S = 300.0
"""Kubernetes' default before fewer pods are wanted."""


@dataclass(slots=True, kw_only=True)
class Submission:
    """A batch of the week; times in seconds from Monday 00:00."""

    name: str
    at_s: float
    clips: float
    priority: int = 5
    window: str = ""
    due_s: float | None = None
    done_s: float | None = None
    left: float = 0.0

    def load(self) -> BatchBacklog:
        """Return it as the ledger would have it."""
        due = None if self.due_s is None else MONDAY + timedelta(seconds=self.due_s)
        return BatchBacklog(
            batch=self.name, priority=self.priority, weight=1, cap=0, paused=False, shut=False, window=self.window,
            start=None, after=(), held=0, left={LANE: math.ceil(self.left)}, clip_s=CLIP_S, finish_by=due,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Workers that render, and those that still start, by when they are there."""

    ready: int = 0
    starting: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    cost_s: float = 0.0

    @property
    def size(self) -> int:
        """All that are paid for."""
        return self.ready + sum(count for _, count in self.starting)

    def resize(self, wanted: int, now_s: float) -> None:
        """Start what is missing, or end what is too many: first what still starts."""
        if wanted > self.size:
            self.starting.append((now_s + LEAD_S, wanted - self.size))
        while self.size > wanted and self.starting:
            at_s, count = self.starting.pop()
            keep = max(0, count - (self.size + count - wanted))
            if keep:
                self.starting.append((at_s, keep))
        self.ready = min(self.ready, wanted)

    def step(self, now_s: float) -> None:
        """Let what has started render, and pay for a step."""
        while self.starting and self.starting[0][0] <= now_s:
            self.ready += self.starting.popleft()[1]
        self.cost_s += self.size * STEP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a policy made of the week.

    Attributes:
        gpu_hours: Paid for, busy or not.
        late: Batches that missed their deadline, and by how many hours together.
        wait_min: Mean minutes from submission to end of batches without a deadline.
        sizes: Workers at each step.
    """

    policy: str
    gpu_hours: float
    late: int
    late_h: float
    worst_h: float
    wait_min: float
    sizes: Sequence[int]


Policy = Callable[[Sequence[Submission], Fleet, float], int]


def week(seed: int) -> list[Submission]:
    """Return the batches of a week: nights, a weekend, deadlines by day, and what people try out."""
    chance, found = random.Random(seed), list[Submission]()
    for day in range(7):
        at = day * 24 * HOUR
        nightly = chance.uniform(0.6, 1.4) * 30_000
        found.append(Submission(name=f"night-{day}", at_s=at + 18 * HOUR, clips=round(nightly), window=NIGHT,
                                due_s=at + 31 * HOUR))  # fmt: skip
        if day >= 5:
            continue
        for number in range(25):
            clips = round(math.exp(chance.uniform(math.log(4), math.log(400))))
            start = at + chance.uniform(9, 18) * HOUR
            found.append(Submission(name=f"try-{day}-{number}", at_s=start, clips=clips, priority=7))
        for number in range(chance.randint(1, 3)):
            start = at + chance.uniform(9, 15) * HOUR
            clips, due_s = chance.randint(2000, 12_000), start + chance.uniform(3, 6) * HOUR
            found.append(Submission(name=f"due-{day}-{number}", at_s=start, clips=clips, priority=6, due_s=due_s))
    found.append(Submission(name="weekend", at_s=4 * 24 * HOUR + 17 * HOUR, clips=150_000, priority=4,
                            due_s=6 * 24 * HOUR + 23 * HOUR))  # fmt: skip
    return sorted(found, key=lambda batch: batch.at_s)


def planner() -> Policy:
    """Return the farm's own policy."""
    scaler = Autoscaler(Aims(most=MOST, lead_s=LEAD_S))

    def wanted(batches: Sequence[Submission], fleet: Fleet, now_s: float) -> int:
        hands = [WorkerCapacity(lane=LANE, live=True, window="")] * fleet.ready
        farm = Backlog(now=MONDAY + timedelta(seconds=now_s), batches=[one.load() for one in batches], hands=hands)
        return scaler.look(farm, Paces(), now_s).get(LANE, 0)

    return wanted


def always(count: int) -> Policy:
    """Return the policy of a farm that never changes."""
    return lambda _batches, _fleet, _now_s: count


def by_queue() -> Policy:
    """Return the usual rule: a worker for each ten clips that wait and may run, down after five minutes."""
    seen: deque[tuple[float, int]] = deque()

    def wanted(batches: Sequence[Submission], _fleet: Fleet, now_s: float) -> int:
        waiting = sum(one.left for one in batches if is_open(one, now_s))
        seen.append((now_s, min(MOST, math.ceil(waiting / 10))))
        while seen[0][0] < now_s - DOWN_S:
            seen.popleft()
        return max(count for _, count in seen)

    return wanted


def is_open(batch: Submission, now_s: float) -> bool:
    """Whether a batch may run."""
    return not batch.window or Windows.parse(batch.window).open_at(MONDAY + timedelta(seconds=now_s))


def play(name: str, policy: Policy, seed: int) -> Outcome:
    """Live through a week, and some days more until all is done."""
    coming, active, ended = deque(week(seed)), list[Submission](), list[Submission]()
    fleet, sizes, now_s = Fleet(), list[int](), 0.0
    while now_s < WEEK_S or active or coming:
        while coming and coming[0].at_s <= now_s:
            batch = coming.popleft()
            batch.left = batch.clips
            active.append(batch)
        fleet.resize(policy(active, fleet, now_s), now_s)
        fleet.step(now_s)
        sizes.append(fleet.size)
        render(active, fleet.ready, now_s)
        now_s += STEP_S
        ended += [one for one in active if one.done_s is not None]
        active = [one for one in active if one.done_s is None]
        if now_s > 2 * WEEK_S:
            raise SystemExit(f"{name} is not done after two weeks; give it more workers")
    return _outcome(name, fleet, ended, sizes[: WEEK_S // STEP_S])


def render(active: Sequence[Submission], workers: int, now_s: float) -> None:
    """Render for a step: by priority, in equal shares within one, as the pump does."""
    clips = workers * STEP_S / CLIP_S
    for priority in sorted({one.priority for one in active}, reverse=True):
        open_now = [one for one in active if one.priority == priority and is_open(one, now_s)]
        for place, one in enumerate(sorted(open_now, key=lambda one: one.left)):
            part = min(one.left, clips / (len(open_now) - place))
            one.left, clips = one.left - part, clips - part
            if one.left <= 1e-9:
                one.done_s = now_s + STEP_S


def _outcome(name: str, fleet: Fleet, ended: Sequence[Submission], sizes: Sequence[int]) -> Outcome:
    late = [(one.done_s or 0.0) - one.due_s for one in ended if one.due_s is not None]
    waits = [(one.done_s or 0.0) - one.at_s for one in ended if one.due_s is None]
    over = [seconds / HOUR for seconds in late if seconds > 0]
    return Outcome(
        policy=name,
        gpu_hours=fleet.cost_s / HOUR,
        late=len(over),
        late_h=sum(over),
        worst_h=max(over, default=0.0),
        wait_min=sum(waits) / len(waits) / 60,
        sizes=sizes,
    )


def fewest_in_time(seed: int) -> Outcome:
    """Return the week of the smallest farm of a fixed size that misses no deadline."""
    least, most = 1, MOST
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if not _is_late(middle, seed) else (middle + 1, most)
    return play(f"always {least}", always(least), seed)


def _is_late(count: int, seed: int) -> bool:
    try:
        return play("", always(count), seed).late > 0
    except SystemExit:
        return True


def outcomes(seed: int) -> list[Outcome]:
    """Return the week under each policy."""
    own = play("planner", planner(), seed)
    mean = math.ceil(own.gpu_hours / (WEEK_S / HOUR))
    return [own, play(f"always {mean}", always(mean), seed), fewest_in_time(seed), play("queue / 10", by_queue(), seed)]


COLOURS = ("#1d4ed8", "#9ca3af", "#6b7280", "#c2410c")
WIDTH, LEFT, ROW, GAP = 760, 92, 56, 18


def drawn(found: Sequence[Outcome]) -> str:
    """Return the workers over the week as SVG, a row a policy."""
    height = len(found) * (ROW + GAP) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for row, (one, colour) in enumerate(zip(found, COLOURS, strict=True)):
        base = (row + 1) * (ROW + GAP)
        every = 15
        points = [max(one.sizes[start : start + every]) for start in range(0, len(one.sizes), every)]
        across = (WIDTH - LEFT - 10) / len(points)
        path = "".join(
            f"L{LEFT + number * across:.1f} {base - size * ROW / MOST:.1f}h{across:.1f}"
            for number, size in enumerate(points)
        )
        parts.append(f'<path d="M{LEFT} {base}{path}V{base}Z" fill="{colour}" fill-opacity="0.75"/>')
        parts.append(f'<path d="M{LEFT} {base}H{WIDTH - 10}" stroke="#999"/>')
        parts.append(f'<text x="4" y="{base - 18}">{one.policy}</text>')
        parts.append(f'<text x="4" y="{base - 3}" fill="#555">{one.gpu_hours:,.0f} GPU-h</text>')
    for day, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")):
        parts.append(
            f'<text x="{LEFT + day * (WIDTH - LEFT - 10) / 7:.0f}" y="{height - 10}" fill="#555">{name}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Print a table, or JSON, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another week")
    parser.add_argument("--picture", type=Path, help="an SVG to write")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    began = time.monotonic()
    found = outcomes(options.seed)
    busy = sum(batch.clips for batch in week(options.seed)) * CLIP_S / HOUR
    if options.picture:
        options.picture.write_text(drawn(found), encoding="utf-8")
    names = ("policy", "gpu_hours", "late", "late_h", "worst_h", "wait_min")
    if options.json:
        print(json.dumps({"seed": options.seed, "work_gpu_hours": busy, "policies": [
            {name: getattr(one, name) for name in names} for one in found]}))  # fmt: skip
        return
    print(f"{len(week(options.seed))} batches, {busy:,.0f} GPU-hours of work; {time.monotonic() - began:.1f} s")
    print(f"{'policy':<12}{'GPU-hours':>10}{'idle':>7}{'late':>6}{'hours late':>12}{'worst':>8}{'minutes to end':>16}")
    for one in found:
        idle = 1 - busy / one.gpu_hours
        print(f"{one.policy:<12}{one.gpu_hours:>10,.0f}{idle:>7.0%}{one.late:>6}{one.late_h:>12.1f}{one.worst_h:>8.1f}"
              f"{one.wait_min:>16.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
