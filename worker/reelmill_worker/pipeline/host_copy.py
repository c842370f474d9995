"""Copies from the GPU to the host that run while the GPU goes on working."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class HostCopy:
    """A running copy. A tensor that is on the CPU already is not copied.

    Attributes:
        target: Pinned memory, not to be read before `wait`; torch keeps freed pinned blocks, so later clips get them
            without the cost of pinning 48.5 MB (the planes of 81 frames of 832x480).
        done: Recorded behind the copy.
    """

    target: Tensor
    done: torch.cuda.Event | None

    @classmethod
    def start(cls, tensor: Tensor) -> HostCopy:
        """Queue the copy behind what the GPU has been asked for so far."""
        if not tensor.is_cuda:
            return cls(tensor, None)
        target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        target.copy_(tensor, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types for it
        done.record()
        return cls(target, done)

    def wait(self) -> Tensor:
        """Return the copy, waiting for it if need be."""
        if self.done is not None:
            self.done.synchronize()
        return self.target


@dataclass(slots=True, eq=False)
class FrameBuffer:
    """A clip's planes on the host, filled chunk by chunk while the GPU decodes the next."""

    _target: Tensor
    _filled: int = 0

    @classmethod
    def sized(cls, frames: int, height: int, width: int, *, device: str) -> FrameBuffer:
        """Take memory for a clip; see `HostCopy` for where pinned memory comes from."""
        shape = (frames, height * 3 // 2, width)
        return cls(torch.empty(shape, dtype=torch.uint8, pin_memory=device != "cpu"))

    def add(self, chunk: Tensor) -> None:
        """Queue the copy of the next frames, (n, height * 3 / 2, width) uint8. Those beyond the last are left out."""
        room = self._target[self._filled : self._filled + chunk.shape[0]]
        room.copy_(chunk[: room.shape[0]], non_blocking=True)
        self._filled += chunk.shape[0]

    def planes(self) -> Tensor:
        """Return the planes. Only to be read once the GPU has finished."""
        return self._target


def finish(device: str) -> None:
    """Wait until the GPU has done everything that it was asked for."""
    if device != "cpu":
        torch.cuda.current_stream().synchronize()
