"""What a run of clips is measured by: seconds on the wall, of the CPU by /proc, and what NVML reports of the GPU."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from reelmill_worker.host.gpu_sensors import GpuSensors
from reelmill_worker.host.gpus import find_gpus

SAMPLE_S = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one way to make clips took; seconds, joules and cores are those of one clip.

    Attributes:
        clips: How many it is measured on.
        wall_s: From the beginning of the first to the end of the last, by the number of clips.
        gpu_s: Mean seconds of the stages that have the GPU; None where they are not measured separately.
        gpu_median_s: Their median.
        cpu_s: Core-seconds, user and system, of all processes that work for it.
        energy_j: What the GPU drew from the first to the last, its idling included; None if it does not measure it.
        nvml_idle: Share of that time in which NVML saw no kernel: coarse, it averages over up to a second.
        stages: Median seconds by stage.
        more: What only this way has.
    """

    clips: int
    wall_s: float
    gpu_s: float | None = None
    gpu_median_s: float | None = None
    cpu_s: float
    energy_j: float | None = None
    nvml_idle: float | None = None
    stages: Mapping[str, float]
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])


def stage_medians(clips: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each stage over some clips."""
    return {stage: round(statistics.median(clip[stage] for clip in clips), 4) for stage in clips[0]}


def cpu_seconds(root: int) -> dict[str, float]:
    """Return core-seconds so far of the processes below one, by program, and of those that they have waited for."""
    found: dict[int, tuple[int, str, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:  # it has ended
            continue
        fields = tail.split()
        ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc_pid_stat(5), less the first two
        found[int(path.parent.name)] = int(fields[1]), head.partition("(")[2], ticks / _TICKS
    totals: dict[str, float] = {}
    for pid, (_, program, seconds) in found.items():
        if _is_below(pid, root, found):
            totals[program] = totals.get(program, 0.0) + seconds
    return totals


def _is_below(pid: int, root: int, found: Mapping[int, tuple[int, str, float]]) -> bool:
    while pid in found:
        pid = found[pid][0]
        if pid == root:
            return True
    return False


class GpuWatch:
    """Looks at a card every 50 ms, from a thread, without a CUDA context; sees nothing where there is none."""

    def __init__(self, number: int = 0) -> None:
        """Find the card by its number, as nvidia-smi counts."""
        gpus = find_gpus()
        uuid = gpus[number].device if len(gpus) > number and gpus[number].device.startswith("GPU-") else ""
        self.joules = GpuSensors(uuid).joules
        self._samples: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._nvml: Any = None
        if uuid:
            self._nvml = import_module("pynvml")
            self._nvml.nvmlInit()
            self._gpu = self._nvml.nvmlDeviceGetHandleByUUID(uuid)

    @property
    def name(self) -> str:
        """Card and driver; empty if there is none."""
        if self._nvml is None:
            return ""
        return f"{self._nvml.nvmlDeviceGetName(self._gpu)}, driver {self._nvml.nvmlSystemGetDriverVersion()}"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look for the length of a block."""
        self._samples.clear()
        self._over.clear()
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def idle(self, since: float, until: float) -> float | None:
        """Return the idle share between two times, Unix seconds."""
        busy = [share for at, share in self._samples if since <= at <= until]
        return round(1 - statistics.mean(busy), 4) if busy else None

    def _look(self) -> None:
        while self._nvml is not None and not self._over.wait(SAMPLE_S):
            busy = self._nvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu / 100
            self._samples.append((time.time(), busy))


def energy(before: float | None, after: float | None, clips: int) -> float | None:
    """Return joules a clip between two readings."""
    return None if before is None or after is None else round((after - before) / clips, 1)
