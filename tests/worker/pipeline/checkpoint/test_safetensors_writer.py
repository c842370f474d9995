"""Files written tensor by tensor, read back by the format's own library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from reelmill_worker.pipeline.checkpoint.safetensors_writer import Described, write_safetensors

TENSORS = {
    "codes": torch.tensor([[1.0, -2.0, 448.0]]).to(torch.float8_e4m3fn),
    "scale": torch.tensor(0.5),
    "turned": torch.arange(6, dtype=torch.bfloat16).view(2, 3).t(),
    "half": torch.ones(2, dtype=torch.float16),
}
DESCRIBED: dict[str, Described] = {
    "codes": ("F8_E4M3", (1, 3)),
    "scale": ("F32", ()),
    "turned": ("BF16", (3, 2)),
    "half": ("F16", (2,)),
}


def test_what_is_written_is_what_the_library_reads(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", DESCRIBED, TENSORS.items())

    read = load_file(tmp_path / "x.safetensors")
    assert {name: tensor.dtype for name, tensor in read.items()} == {name: x.dtype for name, x in TENSORS.items()}
    assert all(torch.equal(read[name].float(), tensor.float()) for name, tensor in TENSORS.items())


def test_the_data_begins_at_a_multiple_of_eight_bytes(tmp_path: Path) -> None:
    for name in ("x", "xy", "xyz"):
        write_safetensors(tmp_path / name, {name: ("F32", (1,))}, [(name, torch.ones(1))])

    assert {int.from_bytes((tmp_path / name).read_bytes()[:8], "little") % 8 for name in ("x", "xy", "xyz")} == {0}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        pytest.param({"a": torch.ones(3)}, r"a torch.float32 \(3,\) is not what was described", id="another shape"),
        pytest.param({"a": torch.ones(2).half()}, "is not what was described", id="another dtype"),
        pytest.param({"b": torch.ones(2)}, "b .* is not what was described", id="another name"),
        pytest.param({"a": torch.ones(2), "b": torch.ones(2)}, "b .* is not what was described", id="one too many"),
        pytest.param({}, "a was described and did not come", id="one too few"),
    ],
)
def test_a_tensor_that_was_not_described_is_refused(tensors: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_safetensors(tmp_path / "x", {"a": ("F32", (2,))}, tensors.items())
