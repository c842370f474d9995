from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import WanPipeline

from reelmill_common.errors import PromptTooLong
from reelmill_worker.pipeline import text
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.engine import load_text_encoder
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.text import TextEncoder

PROMPTS = ["a red fox trots through fresh snow at dawn", "x", "Überraschung: 狐!", "fox " * 400]


@pytest.fixture(scope="module")
def folder(tiny_model: Path) -> ModelFolder:
    return ModelFolder.open(tiny_model)


@pytest.fixture
def encoder(folder: ModelFolder) -> TextEncoder:
    return load_text_encoder(folder, cpu_plan())


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> WanPipeline:
    return WanPipeline.from_pretrained(tiny_model)


@pytest.mark.parametrize("prompt", [prompt.strip() for prompt in PROMPTS])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        pytest.param(torch.float64, 1e-6, id="float64"),
        # The reference sums over 512 places and we over the prompt's, so float32 rounds otherwise: 6e-6 of 4 was seen.
        pytest.param(torch.float32, 2e-5, id="float32"),
    ],
)
@torch.inference_mode()
def test_the_embedding_is_that_of_diffusers_wan_pipeline(
    prompt: str, dtype: torch.dtype, tolerance: float, encoder: TextEncoder, reference: WanPipeline
) -> None:
    reference.text_encoder.to(dtype)
    encoder.graphs.model.to(dtype)
    encoder = replace(encoder, dtype=dtype)
    expected, _ = reference.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=512)

    embedding = encoder.encode(prompt)

    assert embedding.shape == expected.shape == (1, 512, 64)
    assert (embedding - expected).abs().max() <= tolerance


def test_rows_behind_the_prompt_are_zero(encoder: TextEncoder) -> None:
    length = encoder.tokens.count("a red fox")

    embedding = encoder.encode("a red fox")

    assert embedding[0, length - 1].abs().sum() > 0
    assert embedding[0, length:].abs().sum() == 0


def test_a_prompt_is_encoded_once(encoder: TextEncoder) -> None:
    first = encoder.encode("a red fox")

    assert encoder.encode("a red fox") is first


def test_the_prompt_that_was_not_used_for_longest_is_forgotten_first(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "CACHE_ENTRIES", 2)
    kept, dropped = encoder.encode("a"), encoder.encode("b")
    encoder.encode("a")
    encoder.encode("c")

    assert encoder.encode("a") is kept
    assert encoder.encode("b") is not dropped


def test_a_prompt_over_512_tokens_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(PromptTooLong, match="it would be cut after"):
        encoder.encode("fox " * 600)
