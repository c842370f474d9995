"""Copies to the host. What only a GPU shows is in `gpu/test_on_a_gpu.py`."""

from __future__ import annotations

import torch

from reelmill_worker.pipeline.host_copy import FrameBuffer, HostCopy


def test_a_tensor_of_the_cpu_is_not_copied() -> None:
    tensor = torch.arange(6)

    assert HostCopy.start(tensor).wait() is tensor


def test_chunks_lie_one_after_the_other_and_frames_beyond_the_last_are_left_out() -> None:
    planes = torch.randint(0, 256, (8, 24, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    buffer = FrameBuffer.sized(5, 16, 16, device="cpu")

    for chunk in planes.split(3):
        buffer.add(chunk)

    assert torch.equal(buffer.planes(), planes[:5])
