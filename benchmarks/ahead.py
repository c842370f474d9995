"""What encoding the next prompt ahead does to a clip, on one GPU: with and without, clip by clip in turn.

    python benchmarks/ahead.py

81 frames of 832x480, random weights at the real sizes, built in memory. Needs a CUDA GPU with 40 GB.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import full_size
import torch
from gpu_clock import machine, median_ms, row, section

from reelmill_common.jobs import RenderSpec
from reelmill_common.text.tokens import TokenCounter
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.skeleton import full_config
from reelmill_worker.pipeline.engine import Engine, FrameDecoder
from reelmill_worker.pipeline.network.plan import RenderPlan, detect
from reelmill_worker.pipeline.network.text_graphs import TextGraphs
from reelmill_worker.pipeline.network.tiny_decoder import TinyDecoder
from reelmill_worker.pipeline.network.transformer import WanTransformer
from reelmill_worker.pipeline.prepare.tiny_model import make_tiny
from reelmill_worker.pipeline.text import TextEncoder
from reelmill_worker.pipeline.yuv import converter, to_yuv420

CLIPS = 12
PROMPT = (
    "A raccoon in a small yellow raincoat walks along a wet city street at night, neon signs shine in the puddles, "
    "it stops to look into a shop window and its breath shows in the cold air, the camera follows low and close, "
    "take number {take}."
)


def main() -> None:
    print(machine())
    plan = detect()
    with section("load"):
        engine = build(plan)
    with section("warm-up, compilers included"):
        for take in range(2):
            engine.render(spec(take), lambda _: None)
    with section("planes"):
        planes(engine)
    with section(f"{2 * CLIPS} clips, prepared and not in turn"):
        compare(engine)


def build(plan: RenderPlan) -> Engine:
    with tempfile.TemporaryDirectory() as temp:
        make_tiny(Path(temp) / "tiny")
        tokens = TokenCounter.open(Path(temp) / "tiny" / layout.TOKENIZER_FILE)
    text = TextEncoder(
        tokens=tokens,
        graphs=TextGraphs.record(full_size.text_encoder(), plan.text_padding),
        device=torch.device("cuda"),
        dtype=plan.torch_dtype,
    )
    config = full_config(layout.TRANSFORMER, full_size.TRANSFORMER)
    transformer = WanTransformer.load(config, full_size.transformer().state_dict(), plan=plan)
    decoder = TinyDecoder.load(full_size.tiny_decoder(), plan=plan)

    def tiny() -> FrameDecoder:
        return decoder

    return Engine(
        plan=plan,
        text=text,
        transformer=transformer,
        decoders={"tiny": tiny},
        to_planes=converter(compiled=plan.compile),
    )


def spec(take: int) -> RenderSpec:
    return RenderSpec(prompt=PROMPT.format(take=take), seed=take)


def starter(helper: threading.Thread) -> Callable[[str], None]:
    """Return what starts a thread once the GPU has its work."""

    def on_stage(stage: str) -> None:
        if stage == "denoise 1/3":
            helper.start()

    return on_stage


def planes(engine: Engine) -> None:
    frames = torch.randint(0, 256, (12, 480, 832, 3), dtype=torch.uint8, device="cuda")
    ms = median_ms(lambda: engine.to_planes(frames))
    equal = torch.equal(engine.to_planes(frames).cpu(), to_yuv420(frames.cpu()))
    moved = frames.numel() * 1.5 / ms / 1e6
    row("12 frames to planes", f"{ms:.3f} ms", f"{moved:.0f} GB/s", "equal to the CPU's" if equal else "DIFFERENT")


def compare(engine: Engine) -> None:
    walls: dict[bool, list[float]] = {True: [], False: []}
    steps: dict[bool, list[float]] = {True: [], False: []}
    hashes: dict[int, str] = {}
    for take in range(100, 100 + 2 * CLIPS):
        ahead = take % 2 == 0  # what is prepared during this clip is used by the next
        helper = threading.Thread(target=engine.prepare, args=(spec(take + 1),))
        since = time.monotonic()
        rendered = engine.render(spec(take), starter(helper) if ahead else lambda _: None)
        walls[not ahead].append(time.monotonic() - since)
        steps[ahead].append(rendered.seconds["denoise"])
        hashes[take] = rendered.latents_sha256
        if ahead:
            helper.join()
    beside = [f"{statistics.median(steps[key]):.4f} s" for key in (False, True)]
    row("denoise, alone / beside the next clip's text", *beside)
    row("clip, not prepared / prepared", *(f"{statistics.median(walls[key]):.4f} s" for key in (False, True)))
    alone = replace(engine, text=replace(engine.text, _cache=type(engine.text._cache)()))  # noqa: SLF001 - nothing cached
    same = all(alone.render(spec(take), lambda _: None).latents_sha256 == hashes[take] for take in (101, 103))
    row("prepared and not", "equal" if same else "DIFFERENT")
    print(f"peak of tensors {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
