import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from reelmill_common.errors import InvalidModel
from reelmill_common.jobs import RenderSpec
from reelmill_producer.cli import app
from reelmill_worker.pipeline.checkpoint.manifest import file_sha256
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.network.linears import quantize_tensor
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.prepare.lora import Lora
from reelmill_worker.pipeline.prepare.quantization import quantize
from reelmill_worker.pipeline.resident import Resident

WEIGHTS = "diffusion_pytorch_model.safetensors"
TARGET = "blocks.1.ffn.net.2"
WIDE, NARROW, RANK = 512, 256, 4


@pytest.fixture
def halves() -> dict[str, Tensor]:
    """A of (r, k) and B of (n, r) for the second linear of a feed-forward part."""
    generator = torch.Generator().manual_seed(3)
    return {
        "A": torch.randn(RANK, WIDE, generator=generator),
        "B": 0.05 * torch.randn(NARROW, RANK, generator=generator),
    }


@pytest.fixture
def lora_file(halves: dict[str, Tensor], tmp_path: Path) -> Path:
    save_file(
        {f"transformer.{TARGET}.lora_{half}.weight": tensor for half, tensor in halves.items()},
        tmp_path / "fox.safetensors",
    )
    return tmp_path / "fox.safetensors"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("transformer.{}.lora_{}.weight", id="diffusers"),
        pytest.param("base_model.model.{}.lora_{}.weight", id="peft"),
        pytest.param("{}.lora_{}.default.weight", id="peft with an adapter's name"),
        pytest.param("diffusion_model.{}.lora_{}.weight", id="comfyui"),
    ],
)
def test_the_change_is_b_times_a_whatever_the_names(name: str, halves: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({name.format(TARGET, half): tensor for half, tensor in halves.items()}, tmp_path / "x.safetensors")

    change = Lora.open(tmp_path / "x.safetensors").change(TARGET)

    assert torch.allclose(change, halves["B"] @ halves["A"])


@pytest.mark.parametrize(
    ("official", "target"),
    [
        ("blocks.1.self_attn.q", "blocks.1.attn1.to_q"),
        ("blocks.1.self_attn.o", "blocks.1.attn1.to_out.0"),
        ("blocks.0.cross_attn.v", "blocks.0.attn2.to_v"),
        ("blocks.0.ffn.0", "blocks.0.ffn.net.0.proj"),
        ("blocks.1.ffn.2", "blocks.1.ffn.net.2"),
        ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        ("time_projection.1", "condition_embedder.time_proj"),
        ("head.head", "proj_out"),
    ],
)
@pytest.mark.parametrize("kind", ["wan", "comfyui", "kohya"])
def test_wans_own_names_are_those_of_the_linears(official: str, target: str, kind: str, tmp_path: Path) -> None:
    name = {"wan": official, "comfyui": f"diffusion_model.{official}"}.get(
        kind, f"lora_unet_{official.replace('.', '_')}"
    )
    tensors = {"lora_down.weight": torch.ones(2, 3), "lora_up.weight": torch.ones(5, 2), "alpha": torch.tensor(1.0)}
    save_file({f"{name}.{part}": tensor for part, tensor in tensors.items()}, tmp_path / "x.safetensors")

    lora = Lora.open(tmp_path / "x.safetensors")

    assert list(lora.targets) == [target]
    assert torch.equal(lora.change(target), torch.ones(5, 3))  # B A is 2 everywhere, alpha / rank a half


def test_strength_and_alpha_scale_the_change(halves: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = {f"transformer.{TARGET}.lora_{half}.weight": tensor for half, tensor in halves.items()}
    save_file({**tensors, f"transformer.{TARGET}.alpha": torch.tensor(2.0)}, tmp_path / "x.safetensors")

    change = Lora.open(tmp_path / "x.safetensors", strength=0.5).change(TARGET)

    assert torch.allclose(change, 0.5 * 2.0 / RANK * (halves["B"] @ halves["A"]))


CONFIG = {"r": RANK, "lora_alpha": 3, "alpha_pattern": {}, "use_rslora": False}


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        pytest.param(CONFIG, 3 / RANK, id="alpha"),
        pytest.param({**CONFIG, "use_rslora": True}, 3 / RANK**0.5, id="rsLoRA"),
        pytest.param({**CONFIG, "alpha_pattern": {"ffn.net.2": 8}}, 8 / RANK, id="an alpha of its own"),
        pytest.param({**CONFIG, "alpha_pattern": {"net.20": 8}}, 3 / RANK, id="an alpha of another"),
    ],
)
@pytest.mark.parametrize("place", ["pipeline", "adapter", "beside"])
def test_alpha_that_only_the_configuration_tells_scales_the_change(
    place: str, config: dict[str, object], scale: float, halves: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / ("adapter_model.safetensors" if place == "beside" else "x.safetensors")
    prefix = {"pipeline": "transformer.", "adapter": "", "beside": "base_model.model."}[place]
    written = json.dumps({f"transformer.{key}" if place == "pipeline" else key: value for key, value in config.items()})
    tensors = {f"{prefix}{TARGET}.lora_{half}.weight": tensor for half, tensor in halves.items()}
    save_file(tensors, file, metadata=None if place == "beside" else {"lora_adapter_metadata": written})
    if place == "beside":
        (tmp_path / "adapter_config.json").write_text(written)

    assert torch.allclose(Lora.open(file).change(TARGET), scale * (halves["B"] @ halves["A"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "lora_adapter_metadata in its header is not a JSON object"),
        ('{"lora_alpha": "much"}', "alpha in its configuration is 'much', wanted a number"),
        ('{"lora_alpha": 1e999}', "alpha in its configuration is 'inf', wanted a number"),
        ('{"alpha_pattern": [1]}', r"alpha in its configuration is '\[1\]', wanted a number"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused(
    text: str, message: str, halves: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors = {f"{TARGET}.lora_{half}.weight": tensor for half, tensor in halves.items()}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"lora_adapter_metadata": text})

    with pytest.raises(InvalidModel, match=message):
        Lora.open(tmp_path / "x.safetensors")


def test_a_changed_model_is_a_folder_and_a_hash_of_its_own_with_the_change_inside_the_codes(
    tiny_model: Path, lora_file: Path, halves: dict[str, Tensor], tmp_path: Path
) -> None:
    quantize(tiny_model, loras=[Lora.open(lora_file)], into=tmp_path / "changed")

    source = load_file(tiny_model / "transformer" / WEIGHTS)
    made = load_file(tmp_path / "changed" / "transformer_fp8" / WEIGHTS)
    codes, _ = quantize_tensor(source[f"{TARGET}.weight"] + halves["B"] @ halves["A"])
    assert torch.equal(made[f"{TARGET}.weight"].float(), codes.float())
    assert ModelFolder.open(tmp_path / "changed").model_hash != ModelFolder.open(tiny_model).model_hash
    assert not (tiny_model / "transformer_fp8").exists()


def test_a_changed_model_renders_other_pixels_and_says_which_file_changed_it(
    tiny_model: Path, lora_file: Path, tmp_path: Path
) -> None:
    quantize(tiny_model, loras=[Lora.open(lora_file, strength=0.8)], into=tmp_path / "changed")

    spec = RenderSpec(prompt="a red fox", profile="tiny", frames=5)
    plain, changed = (
        Resident.load(folder, plan=cpu_plan()).render(spec, lambda _: None).latents_sha256
        for folder in (tiny_model, tmp_path / "changed")
    )
    manifest = json.loads((tmp_path / "changed" / "transformer_fp8" / "manifest.json").read_text())
    assert plain != changed
    assert manifest["loras"] == [{"name": "fox.safetensors", "sha256": file_sha256(lora_file), "strength": 0.8}]


def test_the_other_parts_take_no_room_a_second_time(tiny_model: Path, lora_file: Path, tmp_path: Path) -> None:
    quantize(tiny_model, loras=[Lora.open(lora_file)], into=tmp_path / "changed")

    shared = tmp_path / "changed" / "text_encoder" / "model.safetensors"
    assert shared.samefile(tiny_model / "text_encoder" / "model.safetensors")
    assert not (tmp_path / "changed" / "transformer").exists()


def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("blocks.1.", "blocks.9."): tensor for name, tensor in tensors.items()}


def narrow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor[:, :100].contiguous() if "_A" in name else tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(rename, r"changes blocks\.9\.ffn\.net\.2, which the transformer does not have", id="unknown"),
        pytest.param(
            narrow, r"A \(4, 100\) and B \(256, 4\), which make no change of a weight \(256, 512\)", id="size"
        ),
    ],
)
def test_a_file_of_another_model_is_refused_before_anything_is_written(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    message: str,
    tiny_model: Path,
    lora_file: Path,
    tmp_path: Path,
) -> None:
    save_file(change(load_file(lora_file)), tmp_path / "other.safetensors")

    with pytest.raises(InvalidModel, match=message):
        quantize(tiny_model, loras=[Lora.open(tmp_path / "other.safetensors")], into=tmp_path / "changed")

    assert not (tmp_path / "changed").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["diffusion_model.blocks.0.ffn.0.diff_b"], "is not named as diffusers, PEFT, ComfyUI or kohya name LoRA"),
        (["blocks.0.attn1.to_q.hada_w1_a"], "is not named as diffusers"),
        (["lora_unet_blocks_0_attn1_to_q.lora_down.weight"], r"blocks\.0\.attn1\.to_q lacks lora_A or lora_B"),
        ([f"transformer.{TARGET}.lora_A.weight"], "lacks lora_A or lora_B .*; it is incomplete"),
        (["blocks.0.ffn.2.lora_A.weight", "lora_unet_blocks_0_ffn_2.lora_down.weight"], "change the same linear"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_lora_says_why(names: list[str], message: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "x.safetensors")

    with pytest.raises(InvalidModel, match=message):
        Lora.open(tmp_path / "x.safetensors")


def test_the_command_merges_at_the_strength_that_is_asked_for(
    tiny_model: Path, lora_file: Path, tmp_path: Path
) -> None:
    args = ["model", "quantize", str(tiny_model), "--lora", f"{lora_file}=0.5", "--into", str(tmp_path / "changed")]

    ran = CliRunner().invoke(app, args)

    manifest = json.loads((tmp_path / "changed" / "transformer_fp8" / "manifest.json").read_text())
    assert (ran.exit_code, manifest["loras"][0]["strength"]) == (0, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lora", "fox.safetensors"], "name a new folder with --into"),
        (["--lora", "fox.safetensors=much", "--into", "x"], "'much' is not a number"),
    ],
)
def test_a_wrong_option_is_a_usage_error(options: list[str], message: str, tiny_model: Path) -> None:
    ran = CliRunner().invoke(app, ["model", "quantize", str(tiny_model), *options], env={"COLUMNS": "300"})

    assert ran.exit_code == 2
    assert message in ran.stderr
