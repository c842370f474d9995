"""The time limit of a stage, the schedule that follows from it, and the average of weights that is kept beside them."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

REFRESH = 20
"""Steps between two looks at the time."""


@dataclass(slots=True)
class Clock:
    """How much of a stage is done, by seconds or by steps.

    Attributes:
        seconds: Limit of time; 0 for none.
        steps: Limit of steps; 0 for none. Equal steps give equal weights on one kind of machine; equal seconds do not.
        warmup: Steps until the learning rate is full.
        done: Steps so far.
    """

    seconds: float = 0.0
    steps: int = 0
    warmup: int = 100
    done: int = 0
    _start: float = field(default_factory=time.monotonic)
    _time: float = 0.0

    def restart(self) -> None:
        """Count time from now."""
        self._start = time.monotonic()
        self._time = 0.0

    def share(self) -> float:
        """Return the share of the stage that is done, 0 to 1."""
        by_steps = self.done / self.steps if self.steps else 0.0
        return min(1.0, max(self._time, by_steps))

    def step(self) -> int:
        """Count a step; return its number, from 1."""
        self.done += 1
        if self.seconds and self.done % REFRESH == 0:
            self.look()
        return self.done

    def look(self) -> None:
        """Look at the time."""
        self._time = self.elapsed() / self.seconds

    def rate(self) -> float:
        """Return the factor of the learning rate: it rises at the start, stays for a third, and falls to 0."""
        return min(1.0, (self.done + 1) / self.warmup, 1.5 * (1 - self.share()) + 0.01)

    def elapsed(self) -> float:
        """Return seconds since the start."""
        return time.monotonic() - self._start


class Average:
    """An exponential average of modules' weights, which samples better than the weights themselves."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        """Start from the modules as they are."""
        self.modules: dict[str, Any] = {name: copy.deepcopy(module).eval() for name, module in modules.items()}
        self._live = [tensor for module in modules.values() for tensor in _floats(module)]
        self._kept = [tensor for module in self.modules.values() for tensor in _floats(module)]
        self._decay = decay
        for tensor in self._kept:
            tensor.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move towards the weights: fast in the first steps, slowly then."""
        share = 1 - min(self._decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self._kept, self._live, share)


def _floats(module: nn.Module) -> list[Tensor]:
    tensors = [*module.parameters(), *module.buffers()]
    return [tensor for tensor in tensors if tensor.is_floating_point()]
