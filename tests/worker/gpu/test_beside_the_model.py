"""What runs beside the model on a GPU: frames to planes and to the host, and recorded text on a stream of its own."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.engine import load_text_encoder
from reelmill_worker.pipeline.host_copy import FrameBuffer, finish
from reelmill_worker.pipeline.network.attention import attention
from reelmill_worker.pipeline.network.plan import TEXT_PADDING, cpu_plan
from reelmill_worker.pipeline.network.text_graphs import MOST_TOKENS, TextGraphs
from reelmill_worker.pipeline.prepare.tiny_model import make_tiny
from reelmill_worker.pipeline.text import TextEncoder
from reelmill_worker.pipeline.yuv import converter, to_yuv420


def pictures(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 96, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inductor's own import
def test_planes_are_those_of_the_cpu_to_the_bit(compiled: bool) -> None:
    convert = converter(compiled=compiled)

    for count in (1, 9, 12):
        frames = torch.randint(
            0, 256, (count, 96, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
        )
        assert torch.equal(convert(frames.cuda()).cpu(), to_yuv420(frames))


def test_planes_are_on_the_host_when_the_gpu_has_finished() -> None:
    frames = pictures(9)
    buffer = FrameBuffer.sized(9, 96, 160, device="cuda")

    for chunk in frames.cuda().split(4):
        buffer.add(to_yuv420(chunk))
    finish("cuda")

    assert torch.equal(buffer.planes(), to_yuv420(frames))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    make_tiny(folder)
    plan = replace(cpu_plan(), device="cuda", dtype="bfloat16", text_encoder="gpu-bf16", text_padding=TEXT_PADDING)
    return load_text_encoder(ModelFolder.open(folder), plan)


@pytest.mark.parametrize("tokens", [1, TEXT_PADDING, TEXT_PADDING + 1, MOST_TOKENS])
def test_recorded_text_is_the_same_to_the_bit(encoder: TextEncoder, tokens: int) -> None:
    graphs = encoder.graphs
    assert sorted(graphs.recorded) == list(range(TEXT_PADDING, MOST_TOKENS + 1, TEXT_PADDING))

    for first in (3, 40):
        ids = [first + number % 50 for number in range(tokens)]
        assert torch.equal(graphs.hidden(ids), TextGraphs(model=encoder.graphs.model, padding=TEXT_PADDING).hidden(ids))


def test_a_recording_with_other_bits_is_not_used(encoder: TextEncoder) -> None:
    class Counts(torch.nn.Module):
        """Adds how often it was called, which a recording does not notice."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = encoder.graphs.model
            self.calls = 0

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> SimpleNamespace:
            self.calls += 1
            return SimpleNamespace(last_hidden_state=self.inner(ids, mask).last_hidden_state + self.calls)

    before = torch.cuda.current_stream()
    graphs = TextGraphs.record(Counts(), TEXT_PADDING)

    assert graphs.recorded == {}
    assert torch.cuda.current_stream() == before
    assert graphs.hidden([3, 4, 5]).isfinite().all()
    assert TextGraphs.record(encoder.graphs.model, TEXT_PADDING).recorded


def test_text_encoded_ahead_is_the_same_to_the_bit(encoder: TextEncoder) -> None:
    wanted = encoder.encode("a red fox in the snow").clone()
    encoder._cache.clear()
    q, k = (torch.randn(length, 12, 128, device="cuda", dtype=torch.bfloat16) for length in (4096, 512))

    ahead = threading.Thread(target=encoder.encode_ahead, args=("a red fox in the snow",))
    ahead.start()
    while ahead.is_alive():  # what a step does meanwhile: its attention must not decide for the other thread
        attention(q, k, k, "sdpa-cudnn")
    ahead.join()

    assert torch.equal(encoder.encode("a red fox in the snow"), wanted)
    assert encoder.made == 2  # here and on the other thread, but not once more
