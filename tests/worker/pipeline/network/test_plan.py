from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from reelmill_common.errors import NotFound, WorkerUnfit
from reelmill_worker.pipeline.network.attention import INNER, KERNELS
from reelmill_worker.pipeline.network.plan import (
    PROJECTED_KERNELS,
    TEXT_PADDING,
    GpuFacts,
    choose_plan,
    cpu_plan,
    gpu_facts,
    kernel_candidates,
    this_gpu,
)


@pytest.mark.parametrize(
    ("gpu", "linears", "fp8", "attention", "text"),
    [
        ("A100", "int8", "row", "sage2-fp16", "gpu-bf16"),
        ("RTX 3090", "int8", "row", "sage2-fp16-mixed", "gpu-bf16"),
        ("RTX 3060", "int8", "row", "sage2-fp16-mixed", "gpu-8bit"),
        ("RTX 4090", "fp8", "row", "sage2-fp8", "gpu-bf16"),
        ("RTX 4060", "fp8", "row", "sage2-fp8", "cpu"),
        ("H100", "fp8", "row", "sage2-fp8-sm90", "gpu-bf16"),
        ("H200", "fp8", "row", "sage2-fp8-sm90", "gpu-bf16"),
        ("B200", "fp8", "tensor", "sdpa-cudnn", "gpu-bf16"),
        ("RTX 5090", "fp8", "tensor", "sage2-fp8-warp", "gpu-bf16"),
        ("GB10", "fp8", "tensor", "sage2-fp8-warp", "gpu-bf16"),
    ],
)
def test_each_architecture_gets_its_own_arithmetic(gpu: str, linears: str, fp8: str, attention: str, text: str) -> None:
    plan = choose_plan(gpu_facts(gpu))

    assert (plan.linears, plan.fp8, plan.attention, plan.text_encoder) == (linears, fp8, attention, text)
    assert (plan.device, plan.dtype, plan.fused, plan.compile) == ("cuda", "bfloat16", True, True)
    assert plan.text_padding == (TEXT_PADDING if text == "gpu-bf16" else 0)


@pytest.mark.parametrize("gpu", ["A100", "RTX 3090", "RTX 4090", "H100", "B200", "RTX 5090"])
def test_every_candidate_is_a_kernel_and_the_last_needs_nothing_installed(gpu: str) -> None:
    candidates = kernel_candidates(gpu_facts(gpu))

    assert set(candidates) <= set(KERNELS)
    assert candidates[-1] == "sdpa"


@pytest.mark.parametrize(
    ("gpu", "lacking", "attention", "reason"),
    [
        pytest.param("RTX 4090", {"sage": ""}, "sdpa-flash", "sageattention does not import", id="no Sage"),
        pytest.param("RTX 4090", {"sage": "1.0.6"}, "sage1", "build 2.2 from source", id="Sage from the registry"),
        pytest.param("H100", {"sage": "1.0.6"}, "sdpa-cudnn", "nothing faster for sm90", id="cuDNN beats Sage 1"),
        pytest.param("RTX 5090", {"sage": "1.0.6"}, "sdpa-cudnn", "nothing faster for sm120", id="Sage 1 is too old"),
        pytest.param("B200", {}, "sdpa-cudnn", "no kernel for sm100", id="no Sage kernel at all"),
        pytest.param("RTX 3090", {"triton": False}, "sdpa-flash", "needs Triton", id="Sage without Triton"),
    ],
)
def test_a_slower_attention_kernel_comes_with_its_reason(
    gpu: str, lacking: dict[str, object], attention: str, reason: str
) -> None:
    plan = choose_plan(replace(gpu_facts(gpu), **lacking))

    assert plan.attention == attention
    assert any(reason in line for line in plan.reasons)


def test_ampere_without_triton_multiplies_in_bfloat16_and_says_why() -> None:
    plan = choose_plan(replace(gpu_facts("RTX 3090"), triton=False))

    assert (plan.linears, plan.fused, plan.compile) == ("bf16", False, False)
    assert any("INT8 kernel needs Triton" in line for line in plan.reasons)


def test_ada_with_an_old_torch_keeps_to_one_scale_a_tensor() -> None:
    plan = choose_plan(replace(gpu_facts("RTX 4090"), torch_version=(2, 11)))

    assert plan.fp8 == "tensor"
    assert any("torch 2.12" in line for line in plan.reasons)


def test_a_card_before_ampere_is_refused_with_what_would_do() -> None:
    with pytest.raises(WorkerUnfit, match=r"T4 \(sm75\).*8\.0 or newer"):
        choose_plan(gpu_facts("T4"))


def test_an_unknown_card_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="RTX 3090"):
        gpu_facts("Voodoo 2")


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 3090", "rtx 3090", "RTX 3090"])
def test_a_card_is_found_however_it_is_written(name: str) -> None:
    assert gpu_facts(name).capability == (8, 6)


def test_a_small_card_decodes_one_latent_frame_at_a_time() -> None:
    tight = GpuFacts(name="small", capability=(8, 6), memory_gb=6)

    assert choose_plan(tight).decode_chunk == 1
    assert choose_plan(tight).text_encoder == "cpu"


def test_the_low_memory_plan_keeps_the_arithmetic_and_says_why_it_was_taken() -> None:
    plan = choose_plan(gpu_facts("RTX 4090"))

    low = plan.low_memory()

    assert (low.text_encoder, low.text_padding, low.decode_chunk) == ("cpu", 0, 1)
    assert (low.linears, low.attention) == (plan.linears, plan.attention)
    assert "low memory" in low.reasons[-1]


def test_a_plan_is_json() -> None:
    plan = choose_plan(gpu_facts("RTX 3090"))

    assert json.loads(json.dumps(plan.describe()))["linears"] == "int8"


def test_without_a_gpu_the_plan_is_plain_float32() -> None:
    plan = cpu_plan()

    assert (plan.device, plan.dtype, plan.linears, plan.attention) == ("cpu", "float32", "fp8", "sdpa")
    assert not plan.fused


def test_a_plan_for_another_gpu_is_chosen_without_torch() -> None:
    asked = (
        "from reelmill_worker.pipeline.network.plan import choose_plan, gpu_facts; choose_plan(gpu_facts('RTX 3090'))"
    )

    code = f"import sys; {asked}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plan_names_the_kernels_that_our_operands_feed() -> None:
    assert set(PROJECTED_KERNELS) == set(INNER)
    assert choose_plan(gpu_facts("RTX 4090")).projected
    assert choose_plan(gpu_facts("RTX 3090")).projected
    assert not choose_plan(gpu_facts("RTX 5090")).projected  # its kernel has other groups
    assert not choose_plan(replace(gpu_facts("RTX 4090"), triton=False)).projected


def test_a_rocm_build_is_not_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", "6.4")

    assert this_gpu() is None


@pytest.mark.parametrize(
    ("name", "gpu", "memory_gb"),
    [
        ("NVIDIA H100 80GB HBM3", "H100", 80),
        ("NVIDIA A100-SXM4-40GB", "A100", 40),
        ("NVIDIA A100 80GB PCIe", "A100", 80),
        ("A100 40GB", "A100 40GB", 40),
        ("NVIDIA GH200 480GB", "GH200", 96),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000", 96),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", 48),
        ("RTX 3080 12GB", "RTX 3080", 12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "RTX 4090 Laptop", 16),
    ],
)
def test_a_card_is_known_by_the_name_that_the_driver_has_for_it(name: str, gpu: str, memory_gb: float) -> None:
    known = gpu_facts(name)

    assert (known.name, known.memory_gb) == (gpu, memory_gb)
