"""The GPUs of this host as one may serve them: asked from the driver, else counted by their device files.

A number alone does not name a GPU: CUDA counts the fastest first, the driver by the place on the bus, and a container
that was given the fourth GPU calls it 0, though its file is `nvidia3`. So GPUs go by UUID where it is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog

from reelmill_common.errors import InvalidSettings
from reelmill_common.gpus import gpu_numbers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU.

    Attributes:
        device: What `CUDA_VISIBLE_DEVICES` takes: its UUID, or its place among those that CUDA sees.
        label: What its worker is named by: the N of `/dev/nvidiaN`, the same in every container of the host.
        place: As nvidia-smi counts here; also its worker's, for the port of its figures.
    """

    device: str
    label: str
    place: int


def find_gpus(dev: Path = Path("/dev"), nvml: Any = None) -> list[Gpu]:
    """Return the GPUs that this host or container has, in nvidia-smi's order.

    Args:
        dev: Where device files are.
        nvml: The module `pynvml`, or what answers like it; by default the installed one.
    """
    asked = _ask(nvml)
    if asked is not None:
        return asked
    # CUDA counts what it sees from 0, whatever the files are called.
    numbers = gpu_numbers(dev)
    return [Gpu(device=str(place), label=number, place=place) for place, number in enumerate(numbers)]


def choose(gpus: Sequence[Gpu], wanted: str, visible: str | None) -> list[Gpu]:
    """Return the GPUs to serve.

    Args:
        gpus: All GPUs of the host.
        wanted: `--devices`: numbers as nvidia-smi shows them, or UUIDs, separated by commas; empty: all visible ones.
        visible: `CUDA_VISIBLE_DEVICES`, if it is set.

    Raises:
        InvalidSettings: A device is not there, or is named twice.
    """
    if not wanted:
        return list(gpus) if visible is None else [_visible(gpus, item, place) for place, item in _items(visible)]
    known = {name: gpu for gpu in gpus for name in (str(gpu.place), gpu.device)}
    found: list[Gpu] = []
    for _, item in _items(wanted):
        if item not in known:
            there = ", ".join(str(gpu.place) for gpu in gpus) or "none"
            raise InvalidSettings(f"--devices {wanted!r}: there is no GPU {item!r} here; there are {there}, or use cpu")
        found.append(known[item])
    if len(set(found)) != len(found) or not found:
        raise InvalidSettings(f"--devices {wanted!r} is not a list of different GPUs; use for example 0,1 or cpu")
    return found


def _items(text: str) -> list[tuple[int, str]]:
    return list(enumerate(item.strip() for item in text.split(",") if item.strip()))


def _visible(gpus: Sequence[Gpu], item: str, place: int) -> Gpu:
    """A device that the environment names is passed on as it stands; only CUDA knows what its numbers mean."""
    known = next((gpu for gpu in gpus if gpu.device == item), None)
    label = known.label if known is not None else re.sub(r"[^a-z0-9-]+", "", item.lower())[:12]
    return Gpu(device=item, label=label, place=place)


def _ask(nvml: Any) -> list[Gpu] | None:
    """Return what the driver reports; None where there is none, or it does not answer."""
    try:
        nvml = nvml or import_module("pynvml")  # of the extra `gpu`
    except ImportError as err:
        log.debug("gpus.counted_by_files", error=str(err))
        return None
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(place) for place in range(nvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                device=str(nvml.nvmlDeviceGetUUID(handle)),
                label=_label(nvml, handle, place),
                place=place,
            )
            for place, handle in enumerate(handles)
        ]
    except nvml.NVMLError as err:
        log.debug("gpus.counted_by_files", error=str(err))
        return None


def _label(nvml: Any, handle: Any, place: int) -> str:
    """The number of the device file; WSL2 has none, and NVML says there that it is not supported."""
    try:
        return str(nvml.nvmlDeviceGetMinorNumber(handle))
    except nvml.NVMLError:
        return str(place)
