"""Cards: which GPUs there are, however they are counted, and which of them are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.nvml import NvmlError, driver
from reelmill_common.errors import InvalidSettings
from reelmill_common.gpus import gpu_numbers
from reelmill_worker.host.gpus import Gpu, choose, find_gpus


def files(folder: Path, *names: str) -> Path:
    for name in (*names, "nvidiactl", "nvidia-uvm"):
        (folder / name).touch()
    return folder


GPUS = find_gpus(nvml=driver(0, 1, 3))


def test_a_container_with_the_fourth_gpu_serves_it_by_its_uuid(tmp_path: Path) -> None:
    (gpu,) = find_gpus(files(tmp_path, "nvidia3"), driver(3))

    assert gpu == Gpu(device="GPU-3", label="3", place=0)


def test_without_a_driver_to_ask_cuda_counts_the_files_from_0(tmp_path: Path) -> None:
    gpus = find_gpus(files(tmp_path, "nvidia3", "nvidia10"), driver(broken=True))

    assert [(gpu.device, gpu.label) for gpu in gpus] == [("0", "3"), ("1", "10")]


def test_every_gpu_is_served_unless_somebody_says_which() -> None:
    assert choose(GPUS, "", None) == GPUS
    assert choose(GPUS, "", "") == []


def test_devices_are_named_as_nvidia_smi_counts_or_by_uuid() -> None:
    assert [gpu.label for gpu in choose(GPUS, "2,GPU-0", None)] == ["3", "0"]


def test_what_the_environment_names_is_passed_on_as_it_stands() -> None:
    gpus = choose(GPUS, "", "GPU-3,1, MIG-1a2b3c4d-5e6f")

    assert [(gpu.device, gpu.label) for gpu in gpus] == [
        *(("GPU-3", "3"), ("1", "1")),
        ("MIG-1a2b3c4d-5e6f", "mig-1a2b3c4d"),
    ]


@pytest.mark.parametrize(
    ("wanted", "advice"),
    [
        ("3", r"there is no GPU '3' here; there are 0, 1, 2, or use cpu"),
        ("0,0", "not a list of different GPUs; use for example 0,1"),
        (",", "not a list of different GPUs"),
        ("gpu0", "there is no GPU 'gpu0' here"),
    ],
)
def test_a_device_that_is_not_there_is_named(wanted: str, advice: str) -> None:
    with pytest.raises(InvalidSettings, match=advice):
        choose(GPUS, wanted, None)


def test_wsl2_has_no_device_files_and_its_gpus_are_asked_of_the_driver(tmp_path: Path) -> None:
    def unsupported(_gpu: int) -> int:
        raise NvmlError("Not Supported")

    wsl = driver(0, 1)
    wsl.nvmlDeviceGetMinorNumber = unsupported
    (tmp_path / "dxg").touch()

    assert [(gpu.device, gpu.label) for gpu in find_gpus(tmp_path, wsl)] == [("GPU-0", "0"), ("GPU-1", "1")]
    assert gpu_numbers(tmp_path, wsl) == ["0", "1"]
    assert gpu_numbers(tmp_path, driver(broken=True)) == []
