"""The health of a machine that renders: what is installed, and where the model lies. Imports nothing heavy."""

from __future__ import annotations

from importlib.util import find_spec

from reelmill_common.gpus import gpu_numbers
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings
from reelmill_producer.embedded import TINY, default_profile
from reelmill_producer.findings import Finding, Level

_WORKER_MODULES = ("torch", "diffusers", "transformers", "safetensors", "av")
_MODEL_FILES = (
    "model_index.json",
    "tokenizer/tokenizer.json",
    "transformer*/config.json",
    "transformer*/*.safetensors",
)


def worker_findings(settings: Settings) -> list[Finding]:
    """See whether this machine can render, without importing what takes seconds to import."""
    missing = [name for name in _WORKER_MODULES if find_spec(name) is None]
    if missing == list(_WORKER_MODULES):
        return [Finding(name="worker", level=Level.OK, found="not installed: this machine submits and does not render")]
    if missing:
        advice = "pip install 'reelmill[worker]'"
        return [
            Finding(name="worker", level=Level.FAIL, found=f"cannot render without {', '.join(missing)}", advice=advice)
        ]
    installed = Finding(name="worker", level=Level.OK, found=f"{', '.join(_WORKER_MODULES)} are installed")
    return [installed, _gpu(settings), _model(settings)]


def _gpu(settings: Settings) -> Finding:
    cards = len(gpu_numbers())
    if not cards and settings.video_codec.endswith("_nvenc"):
        return Finding(
            name="gpu",
            level=Level.FAIL,
            found=f"REELMILL_VIDEO_CODEC={settings.video_codec} needs an NVIDIA GPU, and there is none here",
            advice="use libx264",
        )
    if not cards:
        return Finding(name="gpu", level=Level.OK, found="no NVIDIA GPU: this machine renders the tiny profile")
    if find_spec("sageattention") is None:
        return Finding(
            name="gpu",
            level=Level.WARN,
            found=f"{cards} NVIDIA GPU(s), without sageattention: attention runs on PyTorch's own, which is slower",
            advice="pip install 'reelmill[gpu]'",
        )
    return Finding(name="gpu", level=Level.OK, found=f"{cards} NVIDIA GPU(s), with sageattention")


def _model(settings: Settings) -> Finding:
    profile = settings.profile or default_profile()
    folder = settings.model_folder(profile)
    if settings.renderer != "model":
        return Finding(name="model", level=Level.OK, found=f"none is needed: REELMILL_RENDERER={settings.renderer}")
    missing = [pattern for pattern in _MODEL_FILES if not any(folder.glob(pattern))]
    if not missing:
        return Finding(name="model", level=Level.OK, found=f"{profile} is in {folder}")
    if profile == TINY and not settings.model_dir and len(missing) == len(_MODEL_FILES):
        return Finding(name="model", level=Level.OK, found=f"{profile} will be made in {folder}")
    pull = "`reelmill model tiny DIR`" if PROFILES[profile].repo is None else "`reelmill model pull`"
    return Finding(
        name="model",
        level=Level.FAIL,
        found=f"no complete model of {profile} in {folder}: {', '.join(missing)} missing",
        advice=f"run {pull}, or set REELMILL_MODEL_DIR to its folder",
    )
