import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fixtures.checkpoint import TEXT_ENCODER, TO_K, TRANSFORMER, VAE, rewrite
from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder


def test_a_whole_model_opens_with_and_without_its_manifest_under_one_hash(tiny_model: Path, model: Path) -> None:
    with_manifest, without = ModelFolder.open(tiny_model), ModelFolder.open(model)

    assert with_manifest.model_hash == without.model_hash
    assert len(with_manifest.model_hash) == 64
    assert torch.equal(with_manifest.transformer.tensors[TO_K], load_file(model / TRANSFORMER)[TO_K])


def test_other_weights_are_another_model(model: Path) -> None:
    before = ModelFolder.open(model).model_hash
    rewrite(model / TRANSFORMER, lambda tensors: tensors[TO_K].mul_(1.001))

    assert ModelFolder.open(model).model_hash != before


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_file_that_is_no_safetensors_file_is_refused(content: bytes, model: Path) -> None:
    (model / VAE).write_bytes(content)

    with pytest.raises(InvalidModel, match="is not a safetensors file, or cut off in its header"):
        ModelFolder.open(model)


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("model_index.json", "reelmill model pull"),
        ("transformer/config.json", "reelmill model pull"),
        ("tokenizer/tokenizer.json", "a fast tokenizer is needed"),
        (TEXT_ENCODER, "holds no .safetensors file"),
    ],
)
def test_each_missing_file_is_named_with_what_to_do(file: str, advice: str, model: Path) -> None:
    (model / file).unlink()

    with pytest.raises(InvalidModel, match=advice):
        ModelFolder.open(model)


def test_a_model_of_another_kind_is_refused(model: Path) -> None:
    index = json.loads((model / "model_index.json").read_text())
    index["transformer"] = ["diffusers", "HunyuanVideoTransformer3DModel"]
    (model / "model_index.json").write_text(json.dumps(index))

    with pytest.raises(
        InvalidModel, match="transformer is HunyuanVideoTransformer3DModel, wanted WanTransformer3DModel"
    ):
        ModelFolder.open(model)


def test_no_folder_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="is not a folder; fetch the model with `reelmill model pull`"):
        ModelFolder.open(tmp_path / "absent")
