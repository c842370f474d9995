"""The NVIDIA GPUs of this host by their device files, without torch or the driver; under WSL2 by NVML."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from reelmill_common.errors import InvalidSettings
from reelmill_common.jobs import DEFAULT_PROFILE
from reelmill_common.profiles import PROFILES, TINY
from reelmill_common.settings import Settings
from reelmill_common.text.suggestions import did_you_mean


def gpu_numbers(dev: Path = Path("/dev"), nvml: Any = None) -> list[str]:
    """Return the numbers of the GPUs' device files in order: `nvidia3` is `3`. CUDA may count otherwise.

    WSL2 has one file for all GPUs, `dxg`; there the driver's library counts them, from 0.
    """
    numbers = (file.name.removeprefix("nvidia") for file in dev.glob("nvidia[0-9]*"))
    found = sorted((number for number in numbers if number.isdigit()), key=int)
    if found or not (dev / "dxg").exists():
        return found
    return [str(number) for number in range(_driver_count(nvml))]


def _driver_count(nvml: Any) -> int:
    try:
        nvml = nvml or import_module("pynvml")  # of the extra `gpu`
        nvml.nvmlInit()
        return int(nvml.nvmlDeviceGetCount())
    except Exception:  # noqa: BLE001 - absent, or a driver that does not answer: the library's errors need the library
        return 0


def profile_here(settings: Settings) -> str:
    """Return the default profile of jobs and workers on this host.

    It is the setting; without one, the real model on a farm of many hosts, and on an embedded farm what this machine
    can render: `tiny` unless it has an NVIDIA GPU.
    """
    if settings.profile or not settings.embedded:
        return settings.profile or DEFAULT_PROFILE
    return DEFAULT_PROFILE if gpu_numbers() else TINY


def require_profile(name: str) -> None:
    """Check a name given as `--profile`; an empty one leaves the choice to the settings.

    Raises:
        InvalidSettings: No profile has this name.
    """
    if name and name not in PROFILES:
        raise InvalidSettings(
            f"--profile {name!r} is unknown; {did_you_mean(name, PROFILES)}known are {', '.join(PROFILES)}"
        )
