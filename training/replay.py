"""Computations as recordings (CUDA graphs): a step of a thousand small launches is one.

Without them, the launches set the pace on a GPU: 60 ms a step of the teacher, where the kernels take 16 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from training.optimizer import Optimizer

WARM = 3
"""Times that a function is computed before it is recorded: what compiles or chooses kernels does so then."""
TOLERANCE = 0.02
"""By how much of it a recorded loss may differ from the computed one; rounding differs from kernel to kernel."""


class Recording:
    """A function of tensors that is recorded once for each shape of its inputs, and replayed.

    What a recording cannot hold is computed each time, with a note. On the CPU everything is, and where runs must be
    equal (`set_exact`).
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        """Take a function; it must read nothing else that changes place, and draw no random numbers."""
        self._function = function
        self._records: dict[Any, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor] | None] = {}
        self._pool: Any = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the function's value, which is valid until the next call."""
        if not inputs[0].is_cuda or torch.are_deterministic_algorithms_enabled():
            return self._function(*inputs)
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._records:
            self._records[shapes] = self._recorded([tensor.clone() for tensor in inputs])
        record = self._records[shapes]
        if record is None:
            return self._function(*inputs)
        graph, places, value = record
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return value

    def _recorded(self, places: list[Tensor]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor] | None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                wanted = self._function(*places).clone()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                value = self._function(*places)
            self._pool = self._pool or graph.pool()
            graph.replay()
            off = float((value - wanted).norm() / wanted.norm())
        except RuntimeError as error:
            print(f"nothing is recorded: {error}", flush=True)
            return None
        if not off < TOLERANCE:
            print(f"a recording is off by {off:.4f}; it is not used", flush=True)
            return None
        return graph, places, value


class Gradients:
    """A loss whose gradients, at an optimizer's parameters, are recorded with it."""

    def __init__(self, loss: Callable[..., Tensor], optimizer: Optimizer) -> None:
        """Take a loss of tensors as `Recording` takes a function."""
        self._loss = loss
        self._optimizer = optimizer
        self._recording = Recording(self._compute)
        self._gradients: dict[Any, list[Tensor | None]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Compute the loss and leave its gradients at the parameters; return the loss."""
        shapes = tuple(tensor.shape for tensor in inputs)
        self._optimizer.forget()
        loss = self._recording(*inputs)
        if self._optimizer.parameters[0].grad is not None:  # computed, or recorded just now
            self._gradients[shapes] = [parameter.grad for parameter in self._optimizer.parameters]
        for parameter, gradient in zip(self._optimizer.parameters, self._gradients[shapes], strict=True):
            parameter.grad = gradient
        return loss

    def _compute(self, *inputs: Tensor) -> Tensor:
        self._optimizer.forget()
        loss = self._loss(*inputs)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        return loss.detach()
