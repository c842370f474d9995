"""What a rendering child counts for Prometheus, kept in one small file that its Celery parent serves.

The file outlives the child: the next one continues from it, so the counts grow as long as the parent lives. A thread
of its own writes it, at most once in `WRITE_S`; what a killed child counted after its last write is lost.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from reelmill_common.atomic_file import write_atomically
from reelmill_common.services.background import BackgroundThread

Outcome = Literal["stored", "failed", "retried", "cancelled", "lost", "given_back"]
"""How an attempt ended: `retried` failed and is queued again, `lost` no longer held its lease, `given_back` could not
be stored before the process ended."""
Cause = Literal["no_work", "queue", "text", "delivery_full", "store_down", "starting"]
"""Why the GPU had nothing to do between two renders: no job was dispatched; one was, and was not here yet; the CPU
encoded its prompt; too many clips were under way to the store; the store took none; the model was being loaded."""

BOUNDS_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper ends of the histograms' buckets, in seconds: from an upload to a folder to a night without work."""
WRITE_S = 0.5
NO_WAIT_S = 0.001
"""A shorter wait was none."""


@dataclass(slots=True, kw_only=True)
class Histogram:
    """A histogram of seconds.

    Attributes:
        counts: Observations by bucket, one more than `BOUNDS_S`; not cumulated.
        total_s: Sum of all observations.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count an observation."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTime:
    """What is on its way to the store.

    Attributes:
        deliveries: Clips that are rendered and not yet stored.
        spool_bytes: Disk that parked ones take.
        store_up: False from a refusal or a time-out until a clip is stored.
    """

    deliveries: int = 0
    spool_bytes: int = 0
    store_up: bool = True


@dataclass(slots=True, kw_only=True)
class CounterValues:
    """Everything that is counted.

    Attributes:
        stages: Seconds of each render and delivery, by stage.
        gaps: Seconds without a render by `Cause`. A gap with two causes counts as two.
        clips: Attempts by `Outcome`.
        failures: Failed attempts, retried ones among them, by error code.
        store_errors: Times that the store failed a delivery, by error code.
        starts: Children that passed the start-up gate.
        startup_s: Seconds that the last of them took to pass it.
        idle_since: Monotonic time at which the last render ended; 0 during one, and before the first child is ready.
    """

    stages: dict[str, Histogram] = field(default_factory=dict[str, Histogram])
    gaps: dict[str, Histogram] = field(default_factory=dict[str, Histogram])
    clips: dict[str, int] = field(default_factory=dict[str, int])
    failures: dict[str, int] = field(default_factory=dict[str, int])
    store_errors: dict[str, int] = field(default_factory=dict[str, int])
    starts: int = 0
    startup_s: float = 0.0
    idle_since: float = 0.0
    load: LoadTime = field(default_factory=LoadTime)


def read(path: Path) -> CounterValues:
    """Return the values that were written last; all zero if the file is absent, damaged or foreign."""
    try:
        known = json.loads(path.read_text())
        for name in ("stages", "gaps"):
            known[name] = {label: Histogram(**histogram) for label, histogram in known[name].items()}
        return CounterValues(**known | {"load": LoadTime(**known["load"])})
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return CounterValues()


class Counters:
    """The child's counters. Every method returns at once and may be called from any thread.

    Without a path they are not written, for renderers outside of a farm.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Continue from the file of the last child."""
        self._path = path
        self._values = replace(read(path), idle_since=0.0, load=LoadTime()) if path else CounterValues()
        self._waits: dict[Cause, float] = {}
        self._measure: Callable[[], LoadTime] = LoadTime
        self._lock = threading.Lock()
        self._thread = BackgroundThread(name="counters", work=self._write, every_s=WRITE_S, at_end=self._write)
        self._changed = False

    def start(self, measure: Callable[[], LoadTime]) -> None:
        """Begin to write.

        Args:
            measure: Returns what is on its way to the store; asked before each write.
        """
        self._measure = measure
        if self._path is not None:
            self._thread.start()

    def stop(self) -> None:
        """Write for the last time."""
        self._thread.close()

    def passed_gate(self, seconds: float) -> None:
        """Count a start: the GPU waits for work from now on."""
        with self._change():
            self._values.starts += 1
            self._values.startup_s = seconds
            self._values.idle_since = time.monotonic()
            self._gap("starting", seconds)

    def waited(self, cause: Cause, seconds: float) -> None:
        """Give the cause of a part of the present gap; the rest is attributed when a render begins."""
        with self._change():
            if seconds >= NO_WAIT_S:
                self._waits[cause] = self._waits.get(cause, 0.0) + seconds

    def render_began(self, *, sent_s: float) -> None:
        """End a gap.

        Args:
            sent_s: Seconds since the job was dispatched; before that there was nothing to do.
        """
        with self._change():
            if not self._values.idle_since:
                return
            rest = max(0.0, time.monotonic() - self._values.idle_since - sum(self._waits.values()))
            idle = max(0.0, rest - sent_s)
            for cause, seconds in {**self._waits, "no_work": idle, "queue": rest - idle}.items():
                if seconds > 0:
                    self._gap(cause, seconds)
            self._waits.clear()
            self._values.idle_since = 0.0

    def render_ended(self) -> None:
        """Begin a gap."""
        with self._change():
            self._values.idle_since = time.monotonic()

    def encoded_on_cpu(self, seconds: float) -> None:
        """Count the time within a render in which the GPU waited for the text encoder."""
        with self._change():
            self._gap("text", seconds)

    def took(self, seconds: Mapping[str, float]) -> None:
        """Count seconds by stage."""
        with self._change():
            for stage, value in seconds.items():
                self._values.stages.setdefault(stage, Histogram()).add(value)

    def ended(self, outcome: Outcome, code: str = "") -> None:
        """Count an attempt's end, with its error code if it failed."""
        with self._change():
            _count(self._values.clips, outcome)
            if code:
                _count(self._values.failures, code)

    def store_failed(self, code: str) -> None:
        """Count a delivery that the store did not take."""
        with self._change():
            _count(self._values.store_errors, code)

    @contextmanager
    def _change(self) -> Generator[None]:
        with self._lock:
            self._changed = True
            yield

    def _gap(self, cause: str, seconds: float) -> None:
        self._values.gaps.setdefault(cause, Histogram()).add(seconds)

    def _write(self) -> None:
        load = self._measure()  # before our lock: it takes a lock of its own
        with self._lock:
            if self._path is None or not (self._changed or load != self._values.load):
                return
            self._values.load = load
            self._changed = False
            text = json.dumps(asdict(self._values))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text.encode())
        except OSError:  # a full disk must not end a render; all is written when there is room again
            self._changed = True


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
