import shutil
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs
from torch import Tensor

from reelmill_common.errors import BadOutput, JobCancelled, OutOfMemory, PromptTooLong
from reelmill_common.jobs import RenderSpec
from reelmill_worker.pipeline import engine as engine_module
from reelmill_worker.pipeline.engine import Engine
from reelmill_worker.pipeline.network.attention import KERNELS
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.prepare.tiny_model import make_trained_tiny
from reelmill_worker.pipeline.resident import CANARIES, Resident

STAGES = ["encode_text", "denoise 1/3", "denoise 2/3", "denoise 3/3", "decode"]


def spec(**values: object) -> RenderSpec:
    return RenderSpec(**{"prompt": "a red fox trots through snow", "profile": "tiny", "frames": 9, **values})


def ignore(_stage: str) -> None:
    """Take no notice of stages."""


@pytest.fixture(scope="module")
def resident(tiny_model: Path) -> Resident:
    return Resident.load(tiny_model, plan=cpu_plan())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Resident:
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    make_trained_tiny(folder)
    return Resident.load(folder, plan=cpu_plan())


@pytest.mark.parametrize("at", STAGES)
def test_a_cancel_at_any_boundary_stops_there_and_leaves_the_resident_as_it_was(at: str, resident: Resident) -> None:
    before = resident.render(spec(), ignore)
    seen: list[str] = []

    def cancel(stage: str) -> None:
        seen.append(stage)
        if stage == at:
            raise JobCancelled("asked for")

    with pytest.raises(JobCancelled):
        resident.render(spec(), cancel)

    assert seen[-1] == at
    assert resident.render(spec(), ignore).latents_sha256 == before.latents_sha256


def test_the_canary_passes_on_a_sound_model(resident: Resident) -> None:
    assert resident.canary().planes.shape == (9, 120, 128)


def test_the_canary_refuses_a_machine_whose_renders_differ(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    flips = iter(torch.tensor([0.0, 1e-3]))
    plain_hash = engine_module.latents_hash
    monkeypatch.setattr(engine_module, "latents_hash", lambda latents: plain_hash(latents + next(flips)))

    with pytest.raises(BadOutput, match="two renders of one job differ"):
        resident.canary()


@pytest.mark.parametrize(
    ("prompt", "lacking"),
    [
        (CANARIES["cpu"].prompt, ""),
        ("A big blue ball bounces over a green floor at noon", "red ball"),
        ("A big red ball bounces over a brown floor at noon", "green floor"),
        ("A big red ball bounces over a green floor at dusk", "blue sky"),
    ],
)
def test_the_canary_of_trained_weights_must_show_what_its_prompt_says(
    trained: Resident, prompt: str, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CANARIES, "cpu", spec(prompt=prompt))

    with pytest.raises(BadOutput, match=f"lacks .*{lacking}") if lacking else nullcontext():
        trained.canary()


def test_a_prompt_that_does_not_fit_is_refused_and_the_resident_goes_on(resident: Resident) -> None:
    with pytest.raises(PromptTooLong):
        resident.render(spec(prompt="fox " * 600), ignore)

    assert len(resident.render(spec(), ignore).planes) == 9


def test_it_says_what_decides_the_pixels_beside_the_spec(resident: Resident) -> None:
    described = resident.describe()

    assert described["model_hash"] == resident.model_hash
    assert described["plan"]["linears"] == "fp8"
    assert described["versions"]["torch"] == version("torch")


def broken_model(tiny_model: Path, folder: Path) -> Path:
    """A model whose latents are not finite: one weight of the last layer is NaN."""
    shutil.copytree(tiny_model, folder)
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    tensors["proj_out.bias"][3] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def test_latents_that_are_not_finite_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    resident = Resident.load(broken_model(tiny_model, tmp_path / "model"), plan=cpu_plan())

    with pytest.raises(BadOutput, match="NaN or infinity"):
        resident.render(spec(), ignore)
    with pytest.raises(BadOutput, match="NaN or infinity"):
        resident.canary()


def attention_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an attention kernel that gives NaN, as a wrong build for the GPU does."""

    def nan(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.full_like(q, float("nan"))

    monkeypatch.setitem(KERNELS, "broken", nan)


def test_output_that_an_attention_kernel_spoils_is_rendered_again_with_plain_attention(
    tiny_model: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention_that_breaks(monkeypatch)
    suspect = Resident.load(tiny_model, plan=replace(cpu_plan(), attention="broken"))

    with capture_logs() as events:
        clip = suspect.render(spec(), ignore)

    assert clip.latents_sha256 == resident.render(spec(), ignore).latents_sha256
    assert (clip.plan.attention, suspect.plan.attention) == ("sdpa", "broken")
    assert "NaN" in clip.plan.reasons[-1]
    assert [event["event"] for event in events] == ["render.fell_back"]


def test_an_attention_kernel_that_spoils_the_canary_is_given_up_for_good(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention_that_breaks(monkeypatch)
    suspect = Resident.load(tiny_model, plan=replace(cpu_plan(), attention="broken"))

    suspect.canary()

    with capture_logs() as events:
        clip = suspect.render(spec(), ignore)
    assert suspect.plan.attention == clip.plan.attention == "sdpa"
    assert "since the canary: the latents hold NaN" in suspect.describe()["plan"]["reasons"][-1]
    assert events == []


class ShortOfMemory:
    """Stands before an engine's render and refuses as CUDA does, a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
        self.left = times
        render = Engine.render

        def refuse_at_first(engine: Engine, *args: object) -> object:
            if self.left:
                self.left -= 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines")
            return render(engine, *args)

        monkeypatch.setattr(Engine, "render", refuse_at_first)


def test_a_gpu_that_runs_out_of_memory_gets_the_low_memory_plan_and_keeps_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = Resident.load(tiny_model, plan=cpu_plan())
    expected = resident.render(spec(), ignore).latents_sha256
    ShortOfMemory(monkeypatch, times=1)

    clip = resident.render(spec(), ignore)

    assert clip.latents_sha256 == expected
    assert clip.plan.decode_chunk == resident.plan.decode_chunk == 1


def test_memory_that_does_not_suffice_for_the_low_plan_either_fails_the_clip_and_not_the_resident(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = Resident.load(tiny_model, plan=cpu_plan())
    shortage = ShortOfMemory(monkeypatch, times=2)

    with pytest.raises(
        OutOfMemory, match=r"^also on the low-memory plan: CUDA out of memory. Tried to allocate 2.00 GiB\.$"
    ):
        resident.render(spec(), ignore)

    shortage.left = 1
    with pytest.raises(OutOfMemory, match="CUDA out of memory"):
        resident.render(spec(), ignore)
    assert len(resident.render(spec(), ignore).planes) == 9


def test_a_reload_that_fails_is_tried_again_with_the_next_clip(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = Resident.load(tiny_model, plan=cpu_plan())
    ShortOfMemory(monkeypatch, times=1)
    load = Engine.load

    def no_room(*_: object, **__: object) -> Engine:
        raise torch.OutOfMemoryError("CUDA out of memory while loading")

    monkeypatch.setattr(Engine, "load", no_room)
    with pytest.raises(OutOfMemory, match="also on the low-memory plan: CUDA out of memory while loading"):
        resident.render(spec(), ignore)
    monkeypatch.setattr(Engine, "load", load)

    assert len(resident.render(spec(), ignore).planes) == 9
