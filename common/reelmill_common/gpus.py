"""The NVIDIA GPUs of this host by their device files: asking costs neither torch nor the driver."""

from __future__ import annotations

from pathlib import Path

from reelmill_common.jobs import DEFAULT_PROFILE
from reelmill_common.profiles import TINY
from reelmill_common.settings import Settings


def gpu_numbers(dev: Path = Path("/dev")) -> list[str]:
    """Return the numbers of the GPUs' device files in order: `nvidia3` is `3`. CUDA may count otherwise."""
    numbers = (file.name.removeprefix("nvidia") for file in dev.glob("nvidia[0-9]*"))
    return sorted((number for number in numbers if number.isdigit()), key=int)


def profile_here(settings: Settings) -> str:
    """Return the profile of jobs and workers here that name none.

    It is what is set; else on a farm of many hosts the real one, and on an embedded one what this machine can render:
    `tiny` unless it has an NVIDIA GPU.
    """
    if settings.profile or not settings.embedded:
        return settings.profile or DEFAULT_PROFILE
    return DEFAULT_PROFILE if gpu_numbers() else TINY
