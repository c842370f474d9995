import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fixtures.checkpoint import TEXT_ENCODER, TO_K, TRANSFORMER, VAE
from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder


def test_a_file_that_is_cut_off_is_refused_by_its_length(model: Path) -> None:
    whole = (model / TRANSFORMER).read_bytes()
    (model / TRANSFORMER).write_bytes(whole[:-1000])

    with pytest.raises(InvalidModel, match=rf"has {len(whole) - 1000} bytes where its header wants {len(whole)}"):
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
