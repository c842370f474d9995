"""Timing on a GPU: CUDA events around each call, the median of many, and a table that survives a failing part."""

from __future__ import annotations

import gc
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def median_ms(run: Callable[[], Any], *, repeats: int = 20, warm: int = 3) -> float:
    """Return the median milliseconds of a call, as the GPU's own clock has it."""
    for _ in range(warm):
        run()
    torch.cuda.synchronize()
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in pairs:
        start.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in pairs)


def peak_gb(run: Callable[[], Any]) -> float:
    """Return the most memory that a call takes beyond what was taken before it, in 10**9 bytes."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e9


@contextmanager
def section(title: str) -> Iterator[None]:
    """Print a title and the seconds that its part took; an error is printed and does not end the run."""
    print(f"\n== {title}", flush=True)
    started = time.monotonic()
    try:
        yield
    except Exception:  # noqa: BLE001 - a part that fails is reported, and the others go on
        print("FAILED", traceback.format_exc(limit=-4), flush=True)
    torch.cuda.synchronize()
    gc.collect()
    torch.cuda.empty_cache()
    print(f"   ({time.monotonic() - started:.1f} s)", flush=True)


def row(what: str, *measurements: str) -> None:
    """Print one line of the table."""
    print(f"{what:<58} " + " ".join(f"{figure:>14}" for figure in measurements), flush=True)


def machine() -> str:
    """Return GPU, driver and versions in one line."""
    import triton  # noqa: PLC0415 - only a GPU machine has it

    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return f"{driver}; torch {torch.__version__}, CUDA {torch.version.cuda}, triton {triton.__version__}"
