"""The NVIDIA GPUs of this host by their device files: asking costs neither torch nor the driver."""

from __future__ import annotations

from pathlib import Path

from reelmill_common.jobs import DEFAULT_PROFILE
from reelmill_common.profiles import TINY


def gpu_numbers(dev: Path = Path("/dev")) -> list[str]:
    """Return the numbers of the GPUs' device files in order: `nvidia3` is `3`. CUDA may count otherwise."""
    numbers = (file.name.removeprefix("nvidia") for file in dev.glob("nvidia[0-9]*"))
    return sorted((number for number in numbers if number.isdigit()), key=int)


def default_profile() -> str:
    """Return what this machine can render: `tiny` unless it has an NVIDIA GPU."""
    return DEFAULT_PROFILE if gpu_numbers() else TINY
