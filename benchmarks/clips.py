"""Whole clips through the project's own resident, beside diffusers' `WanPipeline`: part of `render.py`."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import full_size
import torch
from gpu_clock import row, section

from reelmill_common.jobs import RenderSpec
from reelmill_worker.pipeline.network.plan import RenderPlan
from reelmill_worker.pipeline.resident import Resident

PROMPT = (
    "A raccoon in a small yellow raincoat walks along a wet city street at night, neon signs shine in the puddles, "
    "it stops to look into a shop window and its breath shows in the cold air, the camera follows low and close, "
    "take number {take}."
)


def clips(plan: RenderPlan, measurements: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp) / "model"
        with section("a model folder at full size"):
            full_size.write_model(folder)
            row(
                "size on disk",
                f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e9:.1f} GB",
            )
        with section("whole clips"):
            whole_clips(folder, plan, measurements)
        for residency in ("gpu-8bit", "cpu"):
            with section(f"memory with the text encoder on {residency}"):
                memory(folder, replace(plan, text_encoder=residency, text_padding=0))
        with section("diffusers' WanPipeline: bf16, SDPA, 3 steps, Wan VAE"):
            peer(folder, measurements)


def whole_clips(folder: Path, plan: RenderPlan, measurements: dict[str, float]) -> None:
    torch.cuda.reset_peak_memory_stats()
    started = time.monotonic()
    resident = Resident.load(folder, plan=plan, compile_cache=folder.with_name("compile-cache"))
    loaded = time.monotonic()
    resident.canary()
    ready = time.monotonic()
    row("ready: load, canary, both", f"{loaded - started:.1f} s", f"{ready - loaded:.1f} s", f"{ready - started:.1f} s")
    walls, stages = [], []
    for take in range(20):
        since = time.monotonic()
        rendered = resident.render(RenderSpec(prompt=PROMPT.format(take=take), seed=take), lambda _: None)
        walls.append(time.monotonic() - since)
        stages.append(rendered.seconds)
    measurements["clip"] = statistics.median(walls)
    split = {stage: statistics.median(one[stage] for one in stages) for stage in stages[0]}
    row(
        "text + 3 steps + tiny decode, frames in host memory",
        f"{measurements['clip']:.3f} s",
        f"max {max(walls):.3f} s",
    )
    row("  in it: " + ", ".join(split), *(f"{seconds:.3f} s" for seconds in split.values()))
    hashes = {resident.render(RenderSpec(prompt=PROMPT, seed=5), lambda _: None).latents_sha256 for _ in range(2)}
    row("same job twice", "equal" if len(hashes) == 1 else "DIFFERS", next(iter(hashes))[:12])
    print_peak()
    slow = resident.render(RenderSpec(prompt=PROMPT, seed=5, decoder="wan"), lambda _: None)
    row("  with the Wan decoder", *(f"{stage} {seconds:.2f} s" for stage, seconds in slow.seconds.items()))
    row("  peak of tensors with it", f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def memory(folder: Path, plan: RenderPlan) -> None:
    torch.cuda.reset_peak_memory_stats()
    resident = Resident.load(folder, plan=plan, compile_cache=folder.with_name("compile-cache"))
    for take in range(2):
        rendered = resident.render(RenderSpec(prompt=PROMPT.format(take=take), seed=take), lambda _: None)
    row("stages", *(f"{stage} {seconds:.3f} s" for stage, seconds in rendered.seconds.items()))
    print_peak()


def print_peak() -> None:
    free, total = torch.cuda.mem_get_info()
    row("peak of tensors / reserved / taken on the card now", f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB",
        f"{torch.cuda.max_memory_reserved() / 1e9:.1f} GB", f"{(total - free) / 1e9:.1f} GB")  # fmt: skip


def peer(folder: Path, measurements: dict[str, float]) -> None:
    from diffusers import WanPipeline  # noqa: PLC0415 - takes seconds

    pipeline = WanPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16).to("cuda")
    pipeline.set_progress_bar_config(disable=True)
    walls = []
    for take in range(4):
        generator = torch.Generator("cpu").manual_seed(take)
        since = time.monotonic()
        pipeline(
            prompt=PROMPT.format(take=take), height=480, width=832, num_frames=81, num_inference_steps=3,
            guidance_scale=1.0, generator=generator, output_type="pt", max_sequence_length=512,
        )  # fmt: skip
        torch.cuda.synchronize()
        walls.append(time.monotonic() - since)
    seconds = statistics.median(walls[1:])
    row(
        "one clip", f"{seconds:.2f} s", f"{seconds / measurements['clip']:.2f} x ours" if "clip" in measurements else ""
    )
