from pathlib import Path

import pytest
import torch
from torch import Tensor

from fixtures.checkpoint import TEXT_ENCODER, TO_K, TRANSFORMER, VAE, change_json, rewrite
from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.skeleton import skeleton
from reelmill_worker.pipeline.checkpoint.tensor_check import QUANTISED
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder


def test_a_missing_tensor_is_named(model: Path) -> None:
    rewrite(model / TRANSFORMER, lambda tensors: tensors.pop(TO_K))

    with pytest.raises(InvalidModel, match=rf"transformer: {TO_K} is missing from .*{TRANSFORMER}"):
        ModelFolder.open(model)


def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(model: Path) -> None:
    rewrite(model / TRANSFORMER, lambda tensors: tensors.update({TO_K: torch.zeros(256, 128)}))

    with pytest.raises(
        InvalidModel, match=rf"{TO_K} in .* has shape \(256, 128\) where config.json wants \(256, 256\)"
    ):
        ModelFolder.open(model)


@pytest.mark.parametrize("file", [TRANSFORMER, TEXT_ENCODER, VAE])
def test_a_tensor_of_another_kind_of_number_is_refused(file: str, model: Path) -> None:
    def to_int(tensors: dict[str, Tensor]) -> None:
        name = min(tensors)
        tensors[name] = tensors[name].to(torch.int32)

    rewrite(model / file, to_int)

    with pytest.raises(InvalidModel, match=r"is I32; wanted F32 or BF16 or F16"):
        ModelFolder.open(model)


def test_tensors_that_the_config_does_not_know_are_named(model: Path) -> None:
    rewrite(model / TRANSFORMER, lambda tensors: tensors.update({"blocks.0.attn3.to_q.weight": torch.zeros(2)}))

    with pytest.raises(InvalidModel, match=r"blocks.0.attn3.to_q.weight is unknown to its config.json"):
        ModelFolder.open(model)


def test_the_gates_of_the_sparse_attention_family_are_tolerated(model: Path) -> None:
    gates = {
        f"blocks.{layer}.to_gate_compress.{leaf}": torch.zeros((256, 256) if leaf == "weight" else (256,))
        for layer in range(2)
        for leaf in ("weight", "bias")
    }
    rewrite(model / TRANSFORMER, lambda tensors: tensors.update(gates))

    ModelFolder.open(model)


def test_a_config_of_another_size_is_noticed_from_the_headers(model: Path) -> None:
    change_json(model / "transformer" / "config.json", num_layers=3)

    with pytest.raises(InvalidModel, match=r"blocks\.2\..* and \d+ more are missing"):
        ModelFolder.open(model)


def test_the_real_models_config_implies_its_parameters_and_300_quantised_weights() -> None:
    config = {
        "num_attention_heads": 12, "attention_head_dim": 128, "text_dim": 4096, "ffn_dim": 8960, "num_layers": 30,
        "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
    }  # fmt: skip

    shapes = {name: tensor.shape for name, tensor in skeleton("transformer", config).state_dict().items()}

    quantised = [shape.numel() for name, shape in shapes.items() if QUANTISED.fullmatch(name)]
    assert sum(shape.numel() for shape in shapes.values()) == 1_418_996_800
    assert (len(quantised), sum(quantised)) == (300, 1_391_984_640)
