"""Losses and their gradients as recordings (CUDA graphs): a step of many small launches is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from training.optimizer import Optimizer

WARM = 3
"""Times that a loss is computed before it is recorded: what compiles or chooses kernels does so then."""


class Replay:
    """A loss that is recorded once for each shape of its inputs, with the gradients of an optimizer's parameters."""

    def __init__(self, loss: Callable[..., Tensor], optimizer: Optimizer) -> None:
        """Take a loss of tensors; it must read nothing else that changes, and draw no random numbers."""
        self._loss = loss
        self._optimizer = optimizer
        self._records: dict[Any, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor, list[Tensor | None]]] = {}
        self._pool: Any = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Compute the loss of inputs and leave gradients at the parameters; return the loss."""
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._records:
            self._records[shapes] = self._record([tensor.clone() for tensor in inputs])
        graph, places, loss, gradients = self._records[shapes]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        for parameter, gradient in zip(self._optimizer.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    def _record(self, places: list[Tensor]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor, list[Tensor | None]]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                self._optimizer.forget()
                self._loss(*places).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        torch.cuda.current_stream().wait_stream(side)
        self._optimizer.forget()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self._loss(*places)
            loss.backward()  # type: ignore[no-untyped-call]
        self._pool = graph.pool()
        return graph, places, loss.detach(), [parameter.grad for parameter in self._optimizer.parameters]
