import filecmp
import json
from pathlib import Path

import pytest
from diffusers import WanPipeline
from safetensors import safe_open

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.prepare.tiny_model import make_tiny

CONFIGURED = {"text_encoder", "tiny_decoder", "transformer", "vae"}


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_one_seed_makes_the_same_bytes_and_another_seed_other_weights(tiny_model: Path, tmp_path: Path) -> None:
    make_tiny(tmp_path / "again")
    make_tiny(tmp_path / "other", seed=8)

    names = [str(path) for path in files(tiny_model)]
    same, different, missing = filecmp.cmpfiles(tiny_model, tmp_path / "again", names, shallow=False)
    assert (len(same), different, missing) == (len(names), [], [])
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert not filecmp.cmp(tiny_model / weights, tmp_path / "other" / weights, shallow=False)


def test_it_has_the_whole_diffusers_layout_in_a_few_megabytes(tiny_model: Path) -> None:
    parts = {path.parts[0] for path in files(tiny_model)}

    assert parts == {"manifest.json", "model_index.json", "scheduler", "tokenizer", *CONFIGURED}
    assert sum((tiny_model / path).stat().st_size for path in files(tiny_model)) < 15e6


def test_diffusers_loads_it_as_it_loads_the_real_model(tiny_model: Path) -> None:
    pipeline = WanPipeline.from_pretrained(tiny_model)

    assert type(pipeline.text_encoder).__name__ == "UMT5EncoderModel"
    assert pipeline.transformer.config.qk_norm == "rms_norm_across_heads"
    assert pipeline.transformer.config.attention_head_dim == 128
    assert type(pipeline.vae).__name__ == "AutoencoderKLWan"


def test_the_tiny_decoder_has_the_names_of_the_released_one_and_declares_its_widths(tiny_model: Path) -> None:
    folder = tiny_model / "tiny_decoder"
    config = json.loads((folder / "config.json").read_text())

    with safe_open(folder / "diffusion_pytorch_model.safetensors", "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping

    memory = {
        f"decoder.{place}.conv.{step}.{leaf}"
        for place in (3, 4, 5, 9, 10, 11, 15, 16, 17)
        for step in (0, 2, 4)
        for leaf in ("weight", "bias")
    }
    others = {f"decoder.{place}.conv.weight" for place in (7, 13, 19)}
    others |= {f"decoder.{place}.weight" for place in (1, 8, 14, 20, 22)} | {"decoder.1.bias", "decoder.22.bias"}
    first, second, third, last = config["widths"]
    assert shapes.keys() == memory | others
    assert shapes["decoder.1.weight"] == (first, 16, 3, 3)
    assert shapes["decoder.13.conv.weight"] == (2 * second, second, 1, 1)
    assert shapes["decoder.20.weight"] == (last, third, 3, 3)
    assert shapes["decoder.22.weight"] == (3, last, 3, 3)


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(InvalidModel, match="exists and is not empty"):
        make_tiny(tmp_path)

    assert files(tmp_path) == [Path("notes.txt")]


def test_nothing_is_left_when_the_making_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reelmill_worker.pipeline.prepare.tiny_model.write_manifest", full_disk)

    with pytest.raises(OSError, match="No space left"):
        make_tiny(tmp_path / "model")

    assert files(tmp_path) == []
