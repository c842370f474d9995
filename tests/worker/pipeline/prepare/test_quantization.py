import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fixtures.codes import qat_codes
from reelmill_common.errors import InvalidModel
from reelmill_common.findings import Severity
from reelmill_common.jobs import RenderSpec
from reelmill_common.settings import Settings
from reelmill_common.worker_classes import bits_class
from reelmill_producer.cli import app
from reelmill_worker.commands.doctor import examine
from reelmill_worker.pipeline.checkpoint.manifest import file_sha256
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.prepare import quantization
from reelmill_worker.pipeline.prepare.quantization import quantize
from reelmill_worker.pipeline.resident import Resident

WEIGHTS = "diffusion_pytorch_model.safetensors"
TO_Q = "blocks.0.attn1.to_q.weight"
SPEC = RenderSpec(prompt="a red fox", profile="tiny", frames=9)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def latents(model: Path) -> str:
    return Resident.load(model, plan=cpu_plan()).render(SPEC, lambda _: None).latents_sha256


def test_the_ten_large_linears_of_each_block_become_codes_with_scales_and_the_rest_stays(model: Path) -> None:
    artifact = quantize(model)

    source, made = (load_file(model / part / WEIGHTS) for part in ("transformer", "transformer_fp8"))
    codes = {name for name, tensor in made.items() if tensor.dtype == torch.float8_e4m3fn}
    assert artifact.quantised == len(codes) == 2 * 10
    assert made.keys() == source.keys() | {f"{name}_scale" for name in codes}
    assert all(torch.equal(made[name], source[name]) for name in source.keys() - codes)
    assert artifact.size_bytes < 0.5 * (model / "transformer" / WEIGHTS).stat().st_size


def make_old(model: Path, granularity: quantization.Granularity = "row") -> Path:
    """Quantise as the release before did: its manifest has no version, and its scales are by row unless it was told."""
    artifact = quantize(model, granularity=granularity)
    path = artifact.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["version"]
    path.write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(("granularity", "scales"), [("row", (256,)), ("tensor", ())])
def test_codes_times_scales_are_the_weight_to_a_sixteenth(
    granularity: quantization.Granularity, scales: tuple[int, ...], model: Path
) -> None:
    quantize(model, granularity=granularity)

    weight = load_file(model / "transformer" / WEIGHTS)[TO_Q]
    made = load_file(model / "transformer_fp8" / WEIGHTS)
    scale = made[f"{TO_Q}_scale"]
    off = (made[TO_Q].float() * scale.reshape(-1, 1) - weight).abs()
    assert scale.shape == scales
    # e4m3 has 3 bits behind the point: half a step is a 16th of the value; below 2**-6 steps are of equal size.
    # One scale a tensor adds bfloat16's 0.4 % twice: of the weight, and of the scale that the codes were made with.
    assert (off <= weight.abs() * (1 / 16 + 0.01) + scale.reshape(-1, 1) * 2**-9).all()


def test_weights_are_rounded_by_tensor_as_qat_trained_them_unless_rows_are_asked_for(model: Path) -> None:
    quantize(model)

    weight = load_file(model / "transformer" / WEIGHTS)[TO_Q].bfloat16()
    made = load_file(model / "transformer_fp8" / WEIGHTS)
    codes, scale = qat_codes(weight)
    assert float(made[f"{TO_Q}_scale"]) == scale
    assert int((made[TO_Q].view(torch.uint8).numpy() != codes).sum()) == 0


def test_the_artifact_renders_what_the_floats_render_when_they_are_quantised_on_load(model: Path) -> None:
    before = latents(model)
    quantize(model)

    assert latents(model) == before


def test_the_floats_may_be_removed_once_the_artifact_is_there(model: Path) -> None:
    quantize(model)
    before = ModelFolder.open(model).model_hash

    shutil.rmtree(model / "transformer")

    assert ModelFolder.open(model).model_hash == before
    assert latents(model)


def test_the_manifest_names_source_and_result_by_hash(model: Path) -> None:
    artifact = quantize(model)

    manifest = json.loads((artifact.folder / "manifest.json").read_text())
    assert (manifest["granularity"], manifest["version"]) == ("tensor", 2)
    assert manifest["source"] == {f"transformer/{WEIGHTS}": file_sha256(model / "transformer" / WEIGHTS)}
    assert manifest["files"][WEIGHTS]["sha256"] == artifact.sha256 == file_sha256(artifact.folder / WEIGHTS)


def test_quantising_gives_the_model_a_hash_of_its_own_and_the_same_each_time(model: Path, tiny_model: Path) -> None:
    first = quantize(model)
    once = ModelFolder.open(model).model_hash
    shutil.rmtree(first.folder)

    assert quantize(model).sha256 == first.sha256
    assert ModelFolder.open(model).model_hash == once != ModelFolder.open(tiny_model).model_hash


def test_an_artifact_of_other_weights_is_refused(model: Path) -> None:
    quantize(model)
    (model / "manifest.json").unlink()
    file = model / "transformer" / WEIGHTS
    tensors = {name: tensor * 2 for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(InvalidModel, match=r"was made of another transformer/.*run `reelmill model quantize"):
        ModelFolder.open(model)


@pytest.mark.parametrize("granularity", ["tensor", "row"])
def test_the_plan_says_how_the_weights_were_rounded(granularity: quantization.Granularity, model: Path) -> None:
    quantize(model, granularity=granularity)

    plan = Resident.load(model, plan=cpu_plan()).describe()["plan"]

    assert plan["weight_scales"] == granularity
    assert any("weights by row" in reason for reason in plan["reasons"]) == (granularity == "row")


def test_rows_and_tensors_are_two_classes_of_equal_bits(model: Path) -> None:
    by_tensor = Resident.load(model, plan=cpu_plan()).describe()
    quantize(model, granularity="row")

    by_row = Resident.load(model, plan=cpu_plan()).describe()

    assert bits_class(by_tensor) != bits_class(by_row)
    assert by_tensor["model_hash"] != by_row["model_hash"]


def test_an_artifact_by_row_of_an_older_release_is_explained_and_not_served(model: Path) -> None:
    make_old(model)

    with pytest.raises(InvalidModel, match=r"scale a weight row.*`reelmill model quantize \S+/model`, which replaces"):
        ModelFolder.open(model)


def test_the_command_that_is_advised_makes_it_anew(model: Path) -> None:
    make_old(model)

    ran = CliRunner().invoke(app, ["model", "quantize", str(model)])

    assert ran.exit_code == 0, ran.output
    assert ModelFolder.open(model).weight_scales == "tensor"
    assert not list(model.glob(".transformer_fp8*"))


@pytest.mark.parametrize("floats", [True, False])
def test_an_old_artifact_by_row_that_is_meant_so_stays_with_or_without_its_floats(floats: bool, model: Path) -> None:
    before = load_file(make_old(model).parent / WEIGHTS)[TO_Q]
    if not floats:
        shutil.rmtree(model / "transformer")

    ran = CliRunner().invoke(app, ["model", "quantize", str(model), "--scales", "row"])

    assert ran.exit_code == 0, ran.output
    assert ModelFolder.open(model).weight_scales == "row"
    assert torch.equal(load_file(model / "transformer_fp8" / WEIGHTS)[TO_Q].float(), before.float())


def test_an_old_artifact_by_tensor_holds_the_codes_of_today(model: Path) -> None:
    make_old(model, "tensor")

    assert ModelFolder.open(model).weight_scales == "tensor"


def test_an_old_artifact_whose_floats_are_gone_is_fetched_again(model: Path) -> None:
    make_old(model)
    shutil.rmtree(model / "transformer")

    with pytest.raises(InvalidModel, match=r"its floats are gone: .*`reelmill model pull NEW`.*quantize NEW`"):
        ModelFolder.open(model)


def test_an_artifact_of_a_newer_release_is_refused(model: Path) -> None:
    path = make_old(model)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 3}))

    with pytest.raises(InvalidModel, match="has version 3, this release reads 2"):
        ModelFolder.open(model)


def test_doctor_reports_an_artifact_of_an_older_release(model: Path, settings: Settings) -> None:
    make_old(model)

    findings = examine(replace(settings, profile="tiny", model_dir=str(model), renderer="model"), deep=False)

    found = next(finding for finding in findings if finding.name == "model")
    assert found.level is Severity.FAIL
    assert "reelmill model quantize" in found.advice


def test_weights_that_are_not_finite_are_refused(model: Path) -> None:
    (model / "manifest.json").unlink()
    file = model / "transformer" / WEIGHTS
    tensors = load_file(file)
    tensors[TO_Q][0, 0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(InvalidModel, match=rf"{TO_Q} holds values that are not finite"):
        quantize(model)


def test_an_existing_artifact_is_not_overwritten(model: Path) -> None:
    quantize(model)

    with pytest.raises(InvalidModel, match="transformer_fp8 exists; remove it"):
        quantize(model)


def test_a_source_that_is_not_what_was_downloaded_is_noticed(model: Path) -> None:
    file = model / "transformer" / WEIGHTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    with pytest.raises(InvalidModel, match="is not what the manifest says"):
        quantize(model)


def test_a_quantised_source_is_not_quantised_again(model: Path) -> None:
    artifact = quantize(model)
    shutil.rmtree(model / "transformer")
    artifact.folder.rename(model / "transformer")
    (model / "transformer" / "manifest.json").unlink()
    (model / "manifest.json").unlink()

    with pytest.raises(InvalidModel, match="is quantised already"):
        quantize(model)


def test_nothing_is_left_of_an_artifact_that_could_not_be_written(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quantization, "write_safetensors", full_disk)

    with pytest.raises(OSError, match="No space left"):
        quantize(model)

    assert not list(model.glob("*transformer_fp8*"))
    assert not list(model.glob(".transformer_fp8*"))
