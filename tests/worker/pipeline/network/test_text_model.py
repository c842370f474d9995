from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.engine import load_text_encoder
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.network.text_graphs import TextGraphs
from reelmill_worker.pipeline.network.text_model import ByteLinear, load_text_model
from reelmill_worker.pipeline.text import TextEncoder

PROMPT = "a red fox trots through fresh snow at dawn"


@pytest.fixture(scope="module")
def folder(tiny_model: Path) -> ModelFolder:
    return ModelFolder.open(tiny_model)


def test_eight_bit_weights_halve_the_linears_and_keep_the_direction(folder: ModelFolder) -> None:
    plan = replace(cpu_plan(), text_encoder="gpu-8bit")  # on this device, in the same precision otherwise
    exact = load_text_encoder(folder, cpu_plan()).encode(PROMPT)

    model = load_text_model(folder.text_encoder, plan=plan)

    linears = [module for module in model.modules() if isinstance(module, ByteLinear)]
    rough: Tensor = TextEncoder(
        tokens=folder.tokens, graphs=TextGraphs(model=model, padding=0), device=torch.device("cpu"), dtype=torch.float32
    ).encode(PROMPT)
    assert len(linears) == 2 * 7
    assert all(linear.weight.dtype == torch.int8 for linear in linears)
    assert F.cosine_similarity(rough.flatten(), exact.flatten(), dim=0) > 0.999


def test_one_embedding_table_serves_both_names(folder: ModelFolder) -> None:
    model = load_text_model(folder.text_encoder, plan=cpu_plan())

    shared, inner = (model.get_parameter(f"{name}.weight") for name in ("shared", "encoder.embed_tokens"))
    assert shared.data_ptr() == inner.data_ptr()
