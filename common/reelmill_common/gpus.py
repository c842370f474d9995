"""The NVIDIA GPUs of this host by their device files: asking costs neither torch nor the driver."""

from __future__ import annotations

from pathlib import Path


def gpu_numbers(dev: Path = Path("/dev")) -> list[str]:
    """Return the numbers of the GPUs in order, as `CUDA_VISIBLE_DEVICES` takes them: `nvidia3` is `3`."""
    numbers = (file.name.removeprefix("nvidia") for file in dev.glob("nvidia[0-9]*"))
    return sorted((number for number in numbers if number.isdigit()), key=int)
