"""The UMT5 encoder as CUDA graphs: one launch for about a thousand kernels of microseconds each.

Launched one by one they take 34 to 46 ms a prompt on an H200, which is idle for most of that time: 4 % of a clip whose
prompt was not encoded ahead. Recorded they take 7 to 12 ms (docs/lab-notes.md). Letters: n tokens, m padded tokens,
d channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
import torch
from torch import Tensor, nn

log = structlog.get_logger(__name__)

MOST_TOKENS = 256
"""Longer prompts are not padded, and are launched kernel by kernel: each recording takes memory and time."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A recorded length, with the places of its inputs and of its output.

    Attributes:
        graph: Reads `ids` and `mask`, writes `hidden`.
        ids: (1, m) int64.
        mask: (1, m) int64, 1 for a token and 0 for padding.
        hidden: (1, m, d).
    """

    graph: torch.cuda.CUDAGraph
    ids: Tensor
    mask: Tensor
    hidden: Tensor


@dataclass(slots=True, kw_only=True)
class TextGraphs:
    """A text encoder. Two threads may use it one after the other, on streams of their own, not at once.

    Attributes:
        model: `transformers.UMT5EncoderModel`.
        padding: Prompts are padded to a multiple of so many tokens; 0: not at all, and nothing is recorded.
        recorded: By padded length. What is missing is launched kernel by kernel, with equal bits.
    """

    model: nn.Module
    padding: int
    recorded: Mapping[int, Recorded] = field(default_factory=dict[int, Recorded])
    _last_use: torch.cuda.Event | None = None

    @classmethod
    def record(cls, model: nn.Module, padding: int) -> TextGraphs:
        """Record each length; none of them if that fails, for it only saves time."""
        graphs = cls(model=model, padding=padding)
        if not padding or not next(model.parameters()).is_cuda:
            return graphs
        before = torch.cuda.current_stream()
        try:
            graphs.recorded = _record(model, padding)
        except (RuntimeError, ValueError, TypeError) as err:  # out of memory is a `RuntimeError` too
            torch.cuda.set_stream(before)  # a recording that fails at its end leaves its own
            log.warning("text.not_recorded", error=f"{type(err).__name__}: {err}"[:300])
        return graphs

    @torch.inference_mode()
    def hidden(self, ids: list[int]) -> Tensor:
        """Return the last hidden state of tokens: (1, n, d), which later calls leave alone."""
        batch, mask = _padded(ids, padded_length(len(ids), self.padding))
        found = self.recorded.get(batch.shape[1])
        if found is None:
            return _run(self.model, *_on(self.model, batch, mask))[:, : len(ids)]
        stream = torch.cuda.current_stream()
        if self._last_use is not None:
            stream.wait_event(self._last_use)  # another stream may still read what this one overwrites
        try:
            found.ids.copy_(batch)
            found.mask.copy_(mask)
            found.graph.replay()
            return found.hidden[:, : len(ids)].clone()
        finally:
            used = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types for it
            used.record(stream)
            self._last_use = used


def padded_length(tokens: int, padding: int) -> int:
    """Return the number of tokens that the encoder runs on."""
    return -(-tokens // padding) * padding if padding and tokens <= MOST_TOKENS else tokens


def _padded(ids: list[int], length: int) -> tuple[Tensor, Tensor]:
    batch = torch.zeros((1, length), dtype=torch.int64)
    mask = torch.zeros((1, length), dtype=torch.int64)
    batch[0, : len(ids)] = torch.tensor(ids)
    mask[0, : len(ids)] = 1
    return batch, mask


def _on(model: nn.Module, *tensors: Tensor) -> list[Tensor]:
    place = next(model.parameters()).device
    return [tensor.to(place) for tensor in tensors]


def _run(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    hidden: Tensor = model(ids, mask).last_hidden_state
    return hidden


@torch.inference_mode()
def _record(model: nn.Module, padding: int) -> dict[int, Recorded]:
    """Record each length, and compare it with what it was recorded from. Raises `RuntimeError` if they differ."""
    recorded: dict[int, Recorded] = {}
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types for it
    pool = None
    for length in range(MOST_TOKENS, 0, -padding):  # the longest first: the others find room in its memory
        ids, mask = _on(model, *_padded([1 + number % 8 for number in range(length - 1)], length))
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries choose kernels and make workspaces, which a recording forbids
            wanted = _run(model, ids, mask)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            hidden = _run(model, ids, mask)
        graph.replay()
        torch.cuda.synchronize()
        if not torch.equal(hidden, wanted):
            raise RuntimeError(f"a recording of {length} tokens gives other bits than its kernels do")
        pool = pool or graph.pool()
        recorded[length] = Recorded(graph, ids, mask, hidden)
    return recorded
