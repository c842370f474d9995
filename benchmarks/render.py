"""What one GPU takes for a clip, part by part, beside its own floor and beside diffusers in the same run.

    python benchmarks/render.py [--quick | --clips]

81 frames of 832x480, batch 1, random weights at the real sizes, CUDA events, medians of 20.
Needs a CUDA GPU with 40 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

import full_size
import torch
from clips import clips
from gpu_clock import machine, median_ms, peak_gb, row, section
from torch.nn import functional as F

from reelmill_worker.kernels.operands import attention_operands
from reelmill_worker.kernels.quantize import quantize_rows
from reelmill_worker.pipeline.network.attention import INNER, attention, multiply
from reelmill_worker.pipeline.network.linears import RowFp8Linear
from reelmill_worker.pipeline.network.plan import RenderPlan, detect
from reelmill_worker.pipeline.network.rope import rope_tables
from reelmill_worker.pipeline.network.tiny_decoder import TinyDecoder
from reelmill_worker.pipeline.network.transformer import WanTransformer

TOKENS, DIM, FFN, LAYERS = 32760, 1536, 8960, 30
LATENTS = (1, 16, 21, 60, 104)
STEPS = (1000.0, 757.0, 522.0)
SIGMAS = (1.0, 0.7567567229, 0.5217391253)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--quick", action="store_true", help="leave out diffusers' slow parts and whole clips")
    some.add_argument("--clips", action="store_true", help="whole clips alone, ours and diffusers': 2 minutes")
    options = parser.parse_args()
    print(machine())
    started = time.monotonic()
    plan = detect()
    print(f"plan ({time.monotonic() - started:.1f} s): {plan.describe()}")
    measurements: dict[str, float] = {}
    if not options.clips:
        parts(plan, measurements, quick=options.quick)
    if not options.quick:
        clips(plan, measurements)


def parts(plan: RenderPlan, measurements: dict[str, float], *, quick: bool) -> None:
    with section("the floor of one step, from its own kernels"):
        measurements |= floor(plan)
    inputs = make_inputs()
    with section("diffusers' transformer, bf16"):
        theirs = full_size.transformer()
        peer(theirs, inputs, measurements)
    tensors = {name: tensor.cpu() for name, tensor in theirs.state_dict().items()}
    del theirs
    with section("our transformer"):
        ours(plan, tensors, inputs, measurements, quick=quick)
    with section("tiny decoder"):
        decoder(plan, measurements)


def make_inputs():
    generator = torch.Generator("cpu").manual_seed(1024)
    latents = torch.randn(LATENTS, generator=generator).cuda()
    embedding = torch.zeros(1, 512, 4096)
    embedding[:, :100] = torch.randn((1, 100, 4096), generator=generator)
    return latents, embedding.cuda()


def floor(plan: RenderPlan) -> dict[str, float]:
    """Time the kernels that nothing can leave out, each alone and as the chain of 30 layers that a step is.

    `sum` is 30 times each alone, `chain` the 30 layers in a row: a card that works for half a second draws its full
    power and clocks lower than in the few milliseconds that one kernel takes. Self-attention is SageAttention's call
    on queries, keys and values in bfloat16; `bare` is the chain with its kernel alone, on codes made beforehand.
    """
    q, k, v = (torch.randn(TOKENS, 12, 128, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    text = [torch.randn(512, 12, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
    multiplied = [
        gemm(*sizes) for sizes in ((DIM, 3 * DIM), (DIM, DIM), (DIM, DIM), (DIM, DIM), (DIM, FFN), (FFN, DIM))
    ]
    tables, ones = rope_tables((21, 30, 52), 128, "cuda"), torch.ones(2, DIM, device="cuda")
    qkv = torch.cat([x.flatten(1) for x in (q, k, v)], dim=1)

    def chain(own: Callable[[], object]) -> float:
        def layer() -> None:
            own()
            attention(q, *text, plan.cross_attention)
            for run in multiplied:
                run()

        return median_ms(lambda: [layer() for _ in range(LAYERS)])

    def called() -> torch.Tensor:
        return attention(q, k, v, plan.attention)

    own = median_ms(called)
    cross = median_ms(lambda: attention(q, *text, plan.cross_attention))
    gemms = sum(median_ms(run) for run in multiplied)
    found = {"sum": LAYERS * (own + cross + gemms), "chain": chain(called)}
    row("a layer: self-attention, cross-attention, 6 GEMMs", f"{own:.2f} ms", f"{cross:.2f} ms", f"{gemms:.2f} ms")
    row("30 x the sum of these / 30 layers in a row", f"{found['sum']:.0f} ms", f"{found['chain']:.0f} ms")
    if plan.attention in INNER:
        codes = attention_operands(qkv, ones, *tables, 1e-6, INNER[plan.attention].grain)

        def bare() -> torch.Tensor:
            return multiply(codes, plan.attention, torch.bfloat16)

        found["bare"] = chain(bare)
        row("its kernel alone / with it, 30 layers in a row", f"{median_ms(bare):.2f} ms", f"{found['bare']:.0f} ms")
    return found


def gemm(k: int, n: int) -> Callable[[], torch.Tensor]:
    weight, scale = quantize_rows(torch.randn(n, k, device="cuda", dtype=torch.bfloat16), "e4m3")
    linear = RowFp8Linear(weight, scale, torch.zeros(n, device="cuda", dtype=torch.bfloat16))
    x = quantize_rows(torch.randn(TOKENS, k, device="cuda", dtype=torch.bfloat16), "e4m3")
    return lambda: linear(*x)


def peer(theirs, inputs, measurements) -> None:
    latents, embedding = inputs
    x, text = latents.bfloat16(), embedding.bfloat16()
    measurements["peer"] = median_ms(lambda: theirs(x, torch.tensor([757], device="cuda"), text), repeats=5, warm=1)
    row("one step, eager", f"{measurements['peer']:.0f} ms")


def three_steps(velocity, latents):
    x = latents
    for step, (timestep, sigma) in enumerate(zip(STEPS, SIGMAS, strict=True)):
        clean = x.double() - sigma * velocity(x, timestep).double()
        if step == 2:
            return clean.float()
        noise = torch.randn(LATENTS, generator=torch.Generator("cpu").manual_seed(step)).cuda()
        x = ((1 - SIGMAS[step + 1]) * clean + SIGMAS[step + 1] * noise).float()
    raise AssertionError


def ours(plan: RenderPlan, tensors, inputs, measurements, *, quick: bool) -> None:
    wanted = reference(inputs)
    exact = {"attention": "sdpa-cudnn", "weight_scales": "none"}
    variants = {
        "bf16, SDPA, kernels": replace(plan, linears="bf16", compile=False, **exact),
        "fp8, kernels, eager": replace(plan, linears="fp8", fp8="row", compile=False),
        "fp8, kernels, compiled": replace(plan, linears="fp8", fp8="row", compile=True),
        "fp8, weights by row, kernels, compiled": replace(
            plan, linears="fp8", fp8="row", weight_scales="row", compile=True
        ),
        "fp8, kernels, Sage's wrapper": replace(plan, linears="fp8", fp8="row", compile=False, projected=False),
        "fp8, no kernels, compiled": replace(plan, linears="fp8", fp8="row", fused=False, compile=True),
        "fp8 tensor (released recipe), compiled": replace(plan, linears="fp8", fp8="tensor", compile=True),
        "bf16, kernels, Sage": replace(plan, linears="bf16", weight_scales="none", compile=False),
        "int8, kernels, eager": replace(plan, linears="int8", compile=False),
        "fp8, kernels, sage2-fp16": replace(plan, linears="fp8", fp8="row", compile=False, attention="sage2-fp16"),
    }
    for name, variant in list(variants.items())[: 3 if quick else None]:
        with section(name):
            one_variant(name, variant, tensors, inputs, wanted, measurements)


def reference(inputs):
    """Velocity at each step and the latents after three, of diffusers' transformer."""
    latents, embedding = inputs
    theirs = full_size.transformer()
    text = embedding.bfloat16()

    def velocity(x, timestep):
        return theirs(x.bfloat16(), torch.tensor([timestep], device="cuda"), text, return_dict=False)[0]

    return velocity(latents, 757.0).float(), three_steps(velocity, latents)


def one_variant(name, plan, tensors, inputs, wanted, measurements) -> None:
    latents, embedding = inputs
    started = time.monotonic()
    before = torch.cuda.memory_allocated()
    transformer = WanTransformer.load(full_size.TRANSFORMER, tensors, plan=plan)
    resident = (torch.cuda.memory_allocated() - before) / 1e9
    loaded = time.monotonic()
    text = transformer.prepare_text(embedding)
    got = transformer.velocity(latents, 757.0, text)
    torch.cuda.synchronize()
    first = time.monotonic()
    ms = median_ms(lambda: transformer.velocity(latents, 757.0, text), repeats=20, warm=2)
    measurements[name] = ms
    launch = time.monotonic()
    transformer.velocity(latents, 757.0, text)
    launched = (time.monotonic() - launch) * 1000
    text_ms = median_ms(lambda: transformer.prepare_text(embedding))
    extra = peak_gb(lambda: transformer.velocity(latents, 757.0, text))
    last = [three_steps(lambda x, t: transformer.velocity(x, t, text), latents) for _ in range(2)]
    row(
        f"{name}: one step",
        f"{ms:.1f} ms",
        f"{ms / measurements['sum']:.3f} x sum",
        f"{ms / measurements['chain']:.3f} x chain",
        f"{ms / measurements['bare']:.3f} x bare" if "bare" in measurements else "",
        f"{measurements['peer'] / ms:.2f} x peer",
    )
    row(
        "  load / first call / host time of a launch / text K,V",
        f"{loaded - started:.1f} s",
        f"{first - loaded:.1f} s",
        f"{launched:.0f} ms",
        f"{text_ms:.1f} ms",
    )
    row("  weights / peak over them", f"{resident:.2f} GB", f"{extra:.2f} GB")
    row("  one step: relative L2, cosine", f"{relative(got, wanted[0]):.5f}", f"{cosine(got, wanted[0]):.5f}")
    row(
        "  three steps: relative L2, cosine", f"{relative(last[0], wanted[1]):.5f}", f"{cosine(last[0], wanted[1]):.5f}"
    )
    row("  same job twice", "equal" if digest(last[0]) == digest(last[1]) else "DIFFERS", digest(last[0])[:12])


def relative(got, want) -> float:
    return float((got.float() - want.float()).norm() / want.float().norm())


def cosine(got, want) -> float:
    return float(F.cosine_similarity(got.float().flatten(), want.float().flatten(), dim=0))


def digest(x) -> str:
    return hashlib.sha256(x.cpu().numpy().tobytes()).hexdigest()


def decoder(plan: RenderPlan, measurements) -> None:
    tensors = full_size.tiny_decoder()
    latents = torch.randn(LATENTS, device="cuda")
    whole = TinyDecoder.load(tensors, plan=replace(plan, compile=False, decode_chunk=21))
    parallel_gb = peak_gb(lambda: whole.decode(latents))
    parallel = median_ms(lambda: whole.decode(latents), repeats=5)
    want = whole.decode(latents)
    row("all at once, eager", f"{parallel:.1f} ms", f"{parallel_gb:.2f} GB")
    for chunk in (3, 1):
        for compiled in (False, True):
            with section(f"chunks of {chunk}, {'compiled' if compiled else 'eager'}"):
                started = time.monotonic()
                ours = TinyDecoder.load(tensors, plan=replace(plan, compile=compiled, decode_chunk=chunk))
                got = ours.decode(latents)
                torch.cuda.synchronize()
                first = time.monotonic() - started
                ms = median_ms(lambda ours=ours: [None for _ in ours.decode_chunks(latents)])
                gb = peak_gb(lambda ours=ours: [None for _ in ours.decode_chunks(latents)])
                measurements[f"decode {chunk} {compiled}"] = ms
                off = (got.int() - want.int()).abs()
                same = (
                    "equal bits"
                    if int(off.max()) == 0
                    else f"off by {int(off.max())} in {float((off > 0).float().mean()):.2e}"
                )
                row(
                    f"chunks of {chunk}, {'compiled' if compiled else 'eager'}",
                    f"{ms:.1f} ms",
                    f"{gb:.2f} GB",
                    f"first {first:.1f} s",
                    same,
                )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
