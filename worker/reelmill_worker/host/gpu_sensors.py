"""The sensors of one GPU, read from the driver through NVML; none where there is no such driver, package or GPU.

Read in the Celery parent, which has no CUDA context: NVML needs none; and in the child, for the energy of a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import structlog

from reelmill_common.config.extras import install_command

log = structlog.get_logger(__name__)

THROTTLES: Mapping[str, str] = {
    "power_cap": "nvmlClocksThrottleReasonSwPowerCap",
    "hardware_slowdown": "nvmlClocksThrottleReasonHwSlowdown",
    "software_thermal": "nvmlClocksThrottleReasonSwThermalSlowdown",
    "hardware_thermal": "nvmlClocksThrottleReasonHwThermalSlowdown",
    "hardware_power_brake": "nvmlClocksThrottleReasonHwPowerBrakeSlowdown",
}
"""Reasons for a lower clock that say something is wrong, and NVML's names of their bits (nvml.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorReading:
    """One reading of a GPU's sensor.

    Attributes:
        name: Name of the metric, without `reelmill_gpu_`; base units.
        grows: Whether its value only grows.
        reason: Throttle reason that it is about; empty for all other figures.
    """

    name: str
    help: str
    value: float
    grows: bool = False
    reason: str = ""


class GpuSensors:
    """One GPU, opened at the first reading."""

    def __init__(self, uuid: str, nvml: Any = None) -> None:
        """Take a GPU by its UUID (`GPU-…`).

        Args:
            uuid: As CUDA and nvidia-smi know it. An index would not do: CUDA and NVML count in different orders.
            nvml: The module `pynvml`, or what answers like it; by default the installed one.
        """
        self._uuid = uuid
        self._nvml = nvml
        self._gpu: Any = None
        self._absent = not uuid

    def read(self) -> Iterator[SensorReading]:
        """Yield what the GPU reports; a sensor that this model lacks is left out."""
        if self._absent or not self._open():
            return
        for measure in (_memory, _use, _power, _energy, _temperature, _throttles):
            yield from self._ask(measure)

    def joules(self) -> float | None:
        """Return the energy that the GPU has drawn since its driver started; None if it does not report it."""
        if self._absent or not self._open():
            return None
        return next((reading.value for reading in self._ask(_energy)), None)

    def _ask(self, measure: Callable[[Any, Any], Iterator[SensorReading]]) -> list[SensorReading]:
        try:
            return list(measure(self._nvml, self._gpu))
        except self._nvml.NVMLError as err:
            log.debug("gpu.unread", figure=measure.__name__.strip("_"), error=str(err))
            return []

    def _open(self) -> bool:
        if self._gpu is not None:
            return True
        try:
            self._nvml = self._nvml or import_module("pynvml")  # of the extra `gpu`
        except ImportError as err:
            self._give_up(f"{err}; run {install_command('gpu')}")
            return False
        try:
            self._nvml.nvmlInit()
            self._gpu = self._nvml.nvmlDeviceGetHandleByUUID(self._uuid)
        except self._nvml.NVMLError as err:  # a MIG slice has no sensors of its own
            self._give_up(str(err))
        return not self._absent

    def _give_up(self, why: str) -> None:
        log.warning("gpu.without_sensors", uuid=self._uuid, error=why)
        self._absent = True


def _memory(nvml: Any, gpu: Any) -> Iterator[SensorReading]:
    memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
    yield SensorReading(name="memory_used_bytes", help="GPU memory in use, by all processes.", value=memory.used)
    yield SensorReading(name="memory_bytes", help="GPU memory.", value=memory.total)


def _use(nvml: Any, gpu: Any) -> Iterator[SensorReading]:
    percent = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    yield SensorReading(name="busy_ratio", help="Share of the last second in which a kernel ran.", value=percent / 100)


def _power(nvml: Any, gpu: Any) -> Iterator[SensorReading]:
    milliwatts = nvml.nvmlDeviceGetPowerUsage(gpu)
    yield SensorReading(name="power_watts", help="Power drawn by the whole board.", value=milliwatts / 1000)


def _energy(nvml: Any, gpu: Any) -> Iterator[SensorReading]:
    millijoules = nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    yield SensorReading(
        name="energy_joules", help="Energy since the driver came up.", value=millijoules / 1000, grows=True
    )


def _temperature(nvml: Any, gpu: Any) -> Iterator[SensorReading]:
    celsius = nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
    yield SensorReading(name="temperature_celsius", help="Temperature of the GPU.", value=celsius)


def _throttles(nvml: Any, gpu: Any) -> Iterator[SensorReading]:
    bits = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)
    for reason, name in THROTTLES.items():
        on = bool(bits & getattr(nvml, name))
        yield SensorReading(
            name="throttled", help="Whether the clock is held down, by reason.", value=on, reason=reason
        )
