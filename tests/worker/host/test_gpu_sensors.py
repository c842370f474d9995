"""A GPU's sensors give the driver's energy counter, or nothing where there is none."""

from __future__ import annotations

from fixtures.nvml import UUID, NvmlError, nvml
from reelmill_worker.host.gpu_sensors import GpuSensors


def test_the_counter_is_that_of_the_card() -> None:
    assert GpuSensors(UUID, nvml()).joules() == 12.5


def test_a_card_without_a_counter_tells_nothing() -> None:
    def without(_gpu: str) -> int:
        raise NvmlError("Not Supported")

    assert GpuSensors(UUID, nvml(nvmlDeviceGetTotalEnergyConsumption=without)).joules() is None
    assert GpuSensors("").joules() is None
