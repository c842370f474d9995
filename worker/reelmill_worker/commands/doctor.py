"""The worker's part of `reelmill doctor`: what is installed, what the GPU can do, whether the model is whole.

The quick look imports nothing heavy; `deep` loads torch, runs each attention kernel and hashes the model.
"""

from __future__ import annotations

import subprocess
from importlib.util import find_spec

from reelmill_common.config.extras import MODULES, install_command, missing_modules
from reelmill_common.errors import ReelmillError
from reelmill_common.findings import Finding, Severity
from reelmill_common.gpus import gpu_numbers, profile_here
from reelmill_common.profiles import PROFILES, TINY
from reelmill_common.settings import Settings
from reelmill_worker.pipeline.checkpoint.manifest import outdated
from reelmill_worker.pipeline.network.plan import GpuFacts, RenderPlan, choose_plan, gpu_facts

_MODEL_FILES = (
    "model_index.json",
    "tokenizer/tokenizer.json",
    "transformer*/config.json",
    "transformer*/*.safetensors",
)
_GPU_FIELDS = "index,name,driver_version,compute_cap,memory.total"
_DRIVER_QUERY = ("nvidia-smi", f"--query-gpu={_GPU_FIELDS}", "--format=csv,noheader")
_QUERY_S = 20


def examine(settings: Settings, *, deep: bool) -> list[Finding]:
    """See whether this machine can render."""
    missing = missing_modules("worker")
    if missing == list(MODULES["worker"]):
        return [
            Finding(name="worker", level=Severity.OK, found="not installed: this machine submits and does not render")
        ]
    if missing:
        advice = f"run {install_command('worker')}"
        return [
            Finding(
                name="worker", level=Severity.FAIL, found=f"cannot render without {', '.join(missing)}", advice=advice
            )
        ]
    installed = Finding(name="worker", level=Severity.OK, found=f"{', '.join(MODULES['worker'])} are installed")
    quick = [installed, _gpu(settings), *_driver(), _model(settings)]
    return [*quick, *_kernels(), *_model_hash(settings)] if deep else quick


def examine_gpu(name: str) -> list[Finding]:
    """Say how a GPU that need not be here would render, as if everything that could help were installed.

    Raises:
        NotFound: The GPU is not in the table.
    """
    gpu = gpu_facts(name)
    finding = Finding(name="gpu", level=Severity.OK, found=f"{gpu.name}: {gpu.arch}, {gpu.memory_gb:g} GB")
    return [finding, _planned(gpu)]


def _planned(gpu: GpuFacts) -> Finding:
    try:
        plan = choose_plan(gpu)
    except ReelmillError as err:
        return Finding.from_error("plan", err)
    return Finding(name="plan", level=Severity.OK, found=describe(plan), advice="; ".join(plan.reasons))


def describe(plan: RenderPlan) -> str:
    """Return the choices of a plan in one line, for people."""
    activations = "tensor" if plan.linears == "fp8" and plan.fp8 == "tensor" else "token"
    parts = {
        "linears": plan.linears,
        "weights": f"by {plan.weight_scales}",
        "activations": f"by {activations}" if plan.linears in ("fp8", "int8") else plan.dtype,
        "attention": plan.attention,
        "text encoder": plan.text_encoder,
        "decoder": f"{plan.decode_chunk} latent frames at once",
        "kernels": "fused" if plan.fused else "plain",
    }
    return ", ".join(f"{name} {choice}" for name, choice in parts.items())


def _gpu(settings: Settings) -> Finding:
    gpus = len(gpu_numbers())
    if not gpus and settings.video_codec.endswith("_nvenc"):
        return Finding(
            name="gpu",
            level=Severity.FAIL,
            found=f"REELMILL_VIDEO_CODEC={settings.video_codec} needs an NVIDIA GPU, and there is none here",
            advice="use libx264",
        )
    if not gpus:
        return Finding(name="gpu", level=Severity.OK, found="no NVIDIA GPU: this machine can render the tiny profile")
    if find_spec("sageattention") is None:
        return Finding(
            name="gpu",
            level=Severity.WARN,
            found=f"{gpus} NVIDIA GPU(s), without sageattention: attention runs on PyTorch's own, which is slower",
            advice=f"run {install_command('gpu')}",
        )
    return Finding(name="gpu", level=Severity.OK, found=f"{gpus} NVIDIA GPU(s), with sageattention")


def _driver() -> list[Finding]:
    """Ask the driver about each GPU; one that it cannot reach is the commonest cause of a worker that will not."""
    if not gpu_numbers():
        return []
    try:
        answer = subprocess.run(_DRIVER_QUERY, capture_output=True, text=True, timeout=_QUERY_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as err:
        advice = "install NVIDIA's driver with nvidia-smi; in a container, run it with --gpus"
        return [Finding(name="driver", level=Severity.WARN, found=f"nvidia-smi did not answer: {err}", advice=advice)]
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip().splitlines()
        advice = "load the driver again or restart the host; `dmesg | grep -i xid` says more"
        found = f"nvidia-smi failed: {said[-1] if said else 'it said nothing'}"
        return [Finding(name="driver", level=Severity.FAIL, found=found, advice=advice)]
    return [judge_gpu(line) for line in answer.stdout.splitlines() if line.strip()]


def judge_gpu(line: str) -> Finding:
    """Judge one line of nvidia-smi: index, name, driver, compute capability, memory in MiB."""
    index, name, driver, capability, memory = (part.strip() for part in line.split(","))
    major, minor = (int(part) for part in capability.split("."))
    gpu = GpuFacts(name=name, capability=(major, minor), memory_gb=float(memory.split()[0]) * 2**20 / 1e9)
    try:
        plan = choose_plan(gpu)
    except ReelmillError as err:
        return Finding.from_error(f"gpu{index}", err)
    found = f"{name}, {gpu.arch}, {gpu.memory_gb:.0f} GB, driver {driver}: {describe(plan)}"
    return Finding(name=f"gpu{index}", level=Severity.OK, found=found)


def _model(settings: Settings) -> Finding:
    profile = profile_here(settings)
    folder = settings.model_folder(profile)
    if settings.renderer != "model":
        return Finding(name="model", level=Severity.OK, found=f"none is needed: REELMILL_RENDERER={settings.renderer}")
    missing = [pattern for pattern in _MODEL_FILES if not any(folder.glob(pattern))]
    if not missing and (old := outdated(folder)):
        return Finding(name="model", level=Severity.FAIL, found="an artifact of an older kind", advice=old)
    if not missing:
        return Finding(name="model", level=Severity.OK, found=f"{profile} is in {folder}")
    if profile == TINY and not settings.model_dir and len(missing) == len(_MODEL_FILES):
        return Finding(name="model", level=Severity.OK, found=f"{profile} will be made in {folder}")
    pull = "`reelmill model tiny DIR`" if PROFILES[profile].repo is None else "`reelmill model pull`"
    return Finding(
        name="model",
        level=Severity.FAIL,
        found=f"no complete model of {profile} in {folder}: {', '.join(missing)} missing",
        advice=f"run {pull}, or set REELMILL_MODEL_DIR to its folder",
    )


def _kernels() -> list[Finding]:
    """Run every attention kernel that the plan could take against the plain one."""
    from reelmill_worker.pipeline.network.attention import INNER, probe, probe_projected  # noqa: PLC0415 - torch
    from reelmill_worker.pipeline.network.plan import kernel_candidates, this_gpu  # noqa: PLC0415 - as above

    gpu = this_gpu()
    if gpu is None:
        return [Finding(name="kernels", level=Severity.OK, found="PyTorch's own, in float32 on the CPU")]
    kernels = kernel_candidates(gpu)
    verdicts = {kernel: probe(kernel, device="cuda") for kernel in kernels}
    verdicts |= {f"{kernel}.projected": probe_projected(kernel, device="cuda") for kernel in kernels if kernel in INNER}
    return [
        Finding(
            name=f"kernel.{name}",
            level=Severity.OK if verdict.fit else Severity.WARN,
            found=f"cosine {verdict.cosine:.5f} to float32" if verdict.fit else verdict.error,
            advice="" if verdict.fit else "a worker passes it over; build SageAttention 2.2 for this GPU and torch",
        )
        for name, verdict in verdicts.items()
    ]


def _model_hash(settings: Settings) -> list[Finding]:
    profile = profile_here(settings)
    folder = settings.model_folder(profile)
    if settings.renderer != "model" or not folder.is_dir():
        return []
    from reelmill_worker.pipeline.checkpoint.manifest import check_files  # noqa: PLC0415 - reads gigabytes
    from reelmill_worker.pipeline.checkpoint.weights import ModelFolder  # noqa: PLC0415 - torch

    try:
        model = ModelFolder.open(folder)
        files = check_files(folder)
    except ReelmillError as err:
        return [Finding.from_error("model.hash", err)]
    found = f"every tensor is there; {files} files have the recorded hash; model {model.model_hash[:16]}"
    return [Finding(name="model.hash", level=Severity.OK, found=found)]
