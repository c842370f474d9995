"""Processes that train one model together, a GPU each: started by torchrun, or one alone."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed


def join(device: str) -> None:
    """Meet the others, if torchrun started this process."""
    if "RANK" not in os.environ:
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")


def rank() -> int:
    """Return this process's number; 0 writes and prints."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def average(gradients: Sequence[Tensor]) -> None:
    """Replace gradients by their mean over all processes."""
    if not distributed.is_initialized():
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    parts = (flat / distributed.get_world_size()).split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(list(gradients), [part.view_as(own) for part, own in zip(parts, gradients, strict=True)])


def agreed(value: float) -> float:
    """Return process 0's value."""
    if not distributed.is_initialized():
        return value
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    tensor = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(tensor, 0)
    return float(tensor.item())
