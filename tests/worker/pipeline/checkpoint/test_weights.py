import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.skeleton import skeleton
from reelmill_worker.pipeline.checkpoint.tensor_check import QUANTISED
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TO_K = "blocks.1.attn1.to_k.weight"


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy to be broken, without the manifest that would notice by size alone."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "manifest.json").unlink()
    return folder


def rewrite(file: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def change_config(model: Path, part: str, **values: object) -> None:
    path = model / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_whole_model_opens_with_and_without_its_manifest_under_one_hash(tiny_model: Path, model: Path) -> None:
    with_manifest, without = ModelFolder.open(tiny_model), ModelFolder.open(model)

    assert with_manifest.model_hash == without.model_hash
    assert len(with_manifest.model_hash) == 64
    assert torch.equal(with_manifest.transformer.tensors[TO_K], load_file(model / TRANSFORMER)[TO_K])


def test_other_weights_are_another_model(model: Path) -> None:
    before = ModelFolder.open(model).model_hash
    rewrite(model / TRANSFORMER, lambda tensors: tensors[TO_K].mul_(1.001))

    assert ModelFolder.open(model).model_hash != before


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


def test_a_file_that_is_cut_off_is_refused_by_its_length(model: Path) -> None:
    whole = (model / TRANSFORMER).read_bytes()
    (model / TRANSFORMER).write_bytes(whole[:-1000])

    with pytest.raises(InvalidModel, match=rf"has {len(whole) - 1000} bytes where its header wants {len(whole)}"):
        ModelFolder.open(model)


def test_with_a_manifest_a_cut_off_file_is_refused_before_its_header_is_read(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    with (tmp_path / "model" / VAE).open("r+b") as file:
        file.truncate(100)

    with pytest.raises(InvalidModel, match="has 100 bytes where the manifest says"):
        ModelFolder.open(tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_file_that_is_no_safetensors_file_is_refused(content: bytes, model: Path) -> None:
    (model / VAE).write_bytes(content)

    with pytest.raises(InvalidModel, match="is not a safetensors file, or cut off in its header"):
        ModelFolder.open(model)


def test_a_damaged_header_is_refused(model: Path) -> None:
    (model / VAE).write_bytes((10).to_bytes(8, "little") + b'{"x":[1,2}' + bytes(64))

    with pytest.raises(InvalidModel, match="has a damaged header"):
        ModelFolder.open(model)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.pt", "wan.pth", "wan.ckpt"])
def test_a_pickle_in_place_of_the_weights_is_not_opened_but_explained(name: str, model: Path) -> None:
    (model / TRANSFORMER).unlink()
    torch.save({TO_K: torch.zeros(1)}, model / "transformer" / name)

    with pytest.raises(InvalidModel, match=rf"{name} is a pickle, which can run any code.*save_file\(torch.load\("):
        ModelFolder.open(model)


def test_a_pickle_under_the_name_of_a_safetensors_file_is_recognised(model: Path) -> None:
    torch.save({TO_K: torch.zeros(1)}, model / TRANSFORMER)
    with pytest.raises(InvalidModel, match="is a pickle under the name of a safetensors file"):
        ModelFolder.open(model)

    (model / TRANSFORMER).write_bytes(pickle.dumps({TO_K: [0.0]}))
    with pytest.raises(InvalidModel, match="is a pickle under the name of a safetensors file"):
        ModelFolder.open(model)


def split(model: Path) -> Path:
    """Split the text encoder into two files with an index, as the real one is split into five."""
    file = model / TEXT_ENCODER
    tensors = load_file(file)
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, file.with_name(shard), metadata={"format": "pt"})
    file.unlink()
    index = file.with_name("model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {name: shard for shard, held in shards.items() for name in held}}))
    return index


def test_split_weights_are_read_through_their_index(model: Path, tiny_model: Path) -> None:
    split(model)

    tensors = ModelFolder.open(model).text_encoder.tensors

    expected = load_file(tiny_model / TEXT_ENCODER)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_a_missing_shard_is_named(model: Path) -> None:
    index = split(model)
    index.with_name("model-00002-of-00002.safetensors").unlink()

    with pytest.raises(InvalidModel, match=r"model-00002-of-00002.safetensors is missing; .* names it"):
        ModelFolder.open(model)


def test_an_index_cannot_point_out_of_its_folder(model: Path) -> None:
    index = split(model)
    index.write_text(json.dumps({"weight_map": {"shared.weight": "../vae/diffusion_pytorch_model.safetensors"}}))

    with pytest.raises(InvalidModel, match=r"only \.safetensors files beside it are read"):
        ModelFolder.open(model)


def test_two_weights_files_without_an_index_are_ambiguous(model: Path) -> None:
    shutil.copy(model / VAE, model / "vae" / "old.safetensors")

    with pytest.raises(InvalidModel, match="several weights files and no index"):
        ModelFolder.open(model)


def test_a_config_of_another_size_is_noticed_from_the_headers(model: Path) -> None:
    change_config(model, "transformer", num_layers=3)

    with pytest.raises(InvalidModel, match=r"blocks\.2\..* and \d+ more are missing"):
        ModelFolder.open(model)


def test_a_config_that_no_class_takes_is_refused(model: Path) -> None:
    change_config(model, "vae", dim_mult="wide")

    with pytest.raises(InvalidModel, match=r"vae/config.json does not describe a AutoencoderKLWan"):
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


def test_the_real_models_config_implies_its_parameters_and_300_quantised_weights() -> None:
    config = {
        "num_attention_heads": 12, "attention_head_dim": 128, "text_dim": 4096, "ffn_dim": 8960, "num_layers": 30,
        "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
    }  # fmt: skip

    shapes = {name: tensor.shape for name, tensor in skeleton("transformer", config).state_dict().items()}

    quantised = [shape.numel() for name, shape in shapes.items() if QUANTISED.fullmatch(name)]
    assert sum(shape.numel() for shape in shapes.values()) == 1_418_996_800
    assert (len(quantised), sum(quantised)) == (300, 1_391_984_640)


def test_no_folder_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="is not a folder; fetch the model with `reelmill model pull`"):
        ModelFolder.open(tmp_path / "absent")


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("transformer", {"num_layers": 1_000_000}, "num_layers=1000000"),
        ("transformer", {"num_attention_heads": 10**12}, "num_attention_heads=1000000000000"),
        ("text_encoder", {"num_layers": 1_000_000}, "text_encoder/config.json has num_layers=1000000"),
        ("vae", {"num_res_blocks": 10**9}, "vae/config.json has num_res_blocks=1000000000"),
        ("vae", {"dim_mult": [1] * 100_000}, "vae/config.json has dim_mult="),
    ],
)
def test_a_configuration_of_absurd_sizes_is_refused_and_not_built(
    part: str, values: dict[str, object], message: str, model: Path
) -> None:
    change_config(model, part, **values)

    with pytest.raises(InvalidModel, match=message):
        ModelFolder.open(model)


@pytest.mark.parametrize(
    "values", [{"num_layers": "two"}, {"patch_size": 2}, {"eps": "x"}, {"freq_dim": 7}, {"in_channels": 48}]
)
def test_a_transformer_config_of_another_kind_is_refused(values: dict[str, object], model: Path) -> None:
    change_config(model, "transformer", **values)

    with pytest.raises(InvalidModel):
        ModelFolder.open(model)
