from pathlib import Path

import pytest
import torch
from torch import nn

from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.network.plan import TEXT_PADDING, cpu_plan
from reelmill_worker.pipeline.network.text_graphs import MOST_TOKENS, TextGraphs, padded_length
from reelmill_worker.pipeline.network.text_model import load_text_model


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> nn.Module:
    return load_text_model(ModelFolder.open(tiny_model).text_encoder, plan=cpu_plan())


@pytest.mark.parametrize(
    ("tokens", "padded"),
    [
        (1, TEXT_PADDING),
        (TEXT_PADDING, TEXT_PADDING),
        (TEXT_PADDING + 1, 2 * TEXT_PADDING),
        (MOST_TOKENS, MOST_TOKENS),
        (MOST_TOKENS + 1, MOST_TOKENS + 1),
        (512, 512),
    ],
)
def test_prompts_are_padded_to_few_lengths_and_long_ones_not_at_all(tokens: int, padded: int) -> None:
    assert padded_length(tokens, TEXT_PADDING) == padded


@pytest.mark.parametrize("tokens", [1, 9, TEXT_PADDING, MOST_TOKENS - 1, MOST_TOKENS + 1])
@torch.inference_mode()
def test_padding_does_not_change_a_prompts_embedding(model: nn.Module, tokens: int) -> None:
    ids = [3 + number % 50 for number in range(tokens)]
    exact = model(torch.tensor([ids]), torch.ones((1, tokens), dtype=torch.int64)).last_hidden_state

    hidden = TextGraphs(model=model, padding=TEXT_PADDING).hidden(ids)

    assert hidden.shape == exact.shape
    assert (hidden - exact).abs().max() <= 2e-5  # float32, other sums


def test_a_model_that_cannot_be_recorded_is_run_kernel_by_kernel(model: nn.Module) -> None:
    recorded = TextGraphs.record(model, TEXT_PADDING)  # on a CPU there is nothing to record with

    assert recorded.recorded == {}
    assert torch.equal(recorded.hidden([3, 4, 5]), TextGraphs(model=model, padding=TEXT_PADDING).hidden([3, 4, 5]))
