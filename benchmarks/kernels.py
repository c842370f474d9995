"""Each kernel of the transformer by itself at its real shapes: time, rate and share of what the card can do.

    python benchmarks/kernels.py

Needs a CUDA GPU. Rates count each input read once and each output written once.
"""

from __future__ import annotations

import torch
from gpu_clock import machine, median_ms, row, section
from torch.nn import functional as F

from reelmill_worker.kernels import int8_gemm, norm, operands, quantize, rotary
from reelmill_worker.pipeline.network import attention
from reelmill_worker.pipeline.network.rope import rope_tables

TOKENS, HEADS, CHANNELS, DIM, FFN = 32760, 12, 128, 1536, 8960
"""81 frames of 832x480 in Wan2.1-T2V-1.3B."""
SHAPES = {
    "1536 -> 1536": (DIM, DIM),
    "1536 -> 4608": (DIM, 3 * DIM),
    "1536 -> 8960": (DIM, FFN),
    "8960 -> 1536": (FFN, DIM),
}


def main() -> None:
    print(machine())
    with section("self-attention, (32760, 12, 128)"):
        attention_kernels()
    with section("copy"):
        x = torch.randn(2**29, device="cuda", dtype=torch.bfloat16)
        y = torch.empty_like(x)
        ms = median_ms(lambda: y.copy_(x))
        row("copy of 1 GB, read and written", f"{ms:.3f} ms", f"{4 * x.numel() / ms / 1e6:.0f} GB/s")
    with section("between the linears"):
        elementwise_kernels()
    with section("linears: bf16, fp8, int8; quantization of the input alone and with the linear"):
        linears()


def attention_kernels() -> None:
    q, k, v = (torch.randn(TOKENS, HEADS, CHANNELS, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    operations = 4 * HEADS * TOKENS**2 * CHANNELS
    newer = attention.sage_version().startswith("2.")
    for kernel in attention.KERNELS:
        if newer and kernel == "sage1":  # the same call would measure what 2.x takes for this card
            continue
        verdict = attention.probe(kernel, device="cuda")
        if verdict.error:
            row(kernel, verdict.error[:90])
            continue
        ms = median_ms(lambda kernel=kernel: attention.attention(q, k, v, kernel))
        row(kernel, f"{ms:.2f} ms", f"{operations / ms / 1e9:.0f} TFLOP/s", f"cosine {verdict.cosine:.5f}")
    projections(operations)
    text = [torch.randn(512, HEADS, CHANNELS, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
    for kernel in ("sdpa-flash", "sdpa-cudnn"):
        ms = median_ms(lambda kernel=kernel: attention.attention(q, *text, kernel))
        row(f"cross-attention over 512 keys, {kernel}", f"{ms:.3f} ms")


def projections(operations: int) -> None:
    """From the projection on: norms and rotation included."""
    qkv = torch.randn(TOKENS, 3 * DIM, device="cuda", dtype=torch.bfloat16)
    tables, weights = rope_tables((21, 30, 52), CHANNELS, "cuda"), torch.ones(2, DIM, device="cuda")
    for kernel in attention.INNER:
        verdict = attention.probe_projected(kernel, device="cuda")
        if verdict.error:
            row(f"{kernel}, our operands", verdict.error[:90])
            continue

        def wrapped(kernel: str = kernel) -> torch.Tensor:
            q, k = rotary.qk_norm_rope(qkv, weights, *tables, 1e-6)
            heads = (x.unflatten(1, (HEADS, CHANNELS)) for x in (q, k, qkv[:, 2 * DIM :]))
            return attention.attention(*heads, kernel)

        ms = median_ms(lambda kernel=kernel: attention.projected_attention(qkv, weights, *tables, 1e-6, kernel))
        measurements = f"{ms:.2f} ms", f"{operations / ms / 1e9:.0f} TFLOP/s", f"cosine {verdict.cosine:.5f}"
        row(f"{kernel}, norm and rotation: wrapper, ours", f"{median_ms(wrapped):.2f} ms", *measurements)


def elementwise_kernels() -> None:
    x, branch = (torch.randn(TOKENS, DIM, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    gate, weight, bias = (torch.randn(DIM, device="cuda") for _ in range(3))
    hidden = torch.randn(TOKENS, FFN, device="cuda", dtype=torch.bfloat16)
    qkv = torch.randn(TOKENS, 3 * DIM, device="cuda", dtype=torch.bfloat16)
    tables = rope_tables((21, 30, 52), CHANNELS, "cuda")
    weights = torch.randn(2, DIM, device="cuda")
    cases = {
        "residual + norm + e4m3": (
            lambda: norm.residual_norm(x, branch, gate, weight, bias, 1e-6, "e4m3"),
            7 * x.numel(),
        ),
        "residual + norm + int8": (
            lambda: norm.residual_norm(x, branch, gate, weight, bias, 1e-6, "int8"),
            7 * x.numel(),
        ),
        "q, k norm + rope": (
            lambda: rotary.qk_norm_rope(qkv, weights, *tables, 1e-6),
            8 * x.numel() + 8 * tables[0].numel(),
        ),
        "operands of sm90 from the projection": (
            lambda: operands.attention_operands(qkv, weights, *tables, 1e-6, "sm90"),
            (12 + 3) * x.numel() + 8 * tables[0].numel(),
        ),
        "operands of sm89": (
            lambda: operands.attention_operands(qkv, weights, *tables, 1e-6, "sm89"),
            (12 + 3) * x.numel() + 8 * tables[0].numel(),
        ),
        "q norm": (lambda: rotary.rms_norm(x, gate.unsqueeze(0), 1e-6), 4 * x.numel()),
        "GELU + e4m3": (lambda: quantize.gelu_quantize(hidden, "e4m3"), 3 * hidden.numel()),
        "GELU + int8": (lambda: quantize.gelu_quantize(hidden, "int8"), 3 * hidden.numel()),
        "rows to e4m3": (lambda: quantize.quantize_rows(x, "e4m3"), 3 * x.numel()),
    }
    for name, (run, size) in cases.items():
        ms = median_ms(run)
        row(name, f"{ms:.3f} ms", f"{size / ms / 1e6:.0f} GB/s")


def linears() -> None:
    for name, (k, n) in SHAPES.items():
        x = torch.randn(TOKENS, k, device="cuda", dtype=torch.bfloat16)
        weight = torch.randn(n, k, device="cuda") / k**0.5
        bias = torch.randn(n, device="cuda", dtype=torch.bfloat16)
        dense = weight.bfloat16()
        bf16 = median_ms(lambda x=x, dense=dense, bias=bias: F.linear(x, dense, bias))
        row(f"{name} bf16", f"{bf16:.3f} ms", f"{2 * TOKENS * n * k / bf16 / 1e9:.0f} T/s")
        want = F.linear(x.float(), weight, bias.float())
        for target, multiply in (("e4m3", fp8_linear), ("int8", int8_gemm.int8_linear)):
            one_linear(name, target, multiply, (x, weight, bias), want, bf16)


def one_linear(name, target, multiply, tensors, want, bf16) -> None:
    x, weight, bias = tensors
    codes, scale = quantize.quantize_rows_reference(weight, target)
    x_codes, x_scale = quantize.quantize_rows(x, target)
    ms = median_ms(lambda: multiply(x_codes, x_scale, codes, scale, bias))
    whole = median_ms(lambda: multiply(*quantize.quantize_rows(x, target), codes, scale, bias))
    cosine = F.cosine_similarity(
        multiply(x_codes, x_scale, codes, scale, bias).float().flatten(), want.flatten(), dim=0
    )
    rate = 2 * want.numel() * x.shape[1] / ms / 1e9
    measurements = (
        f"{ms:.3f} ms",
        f"{rate:.0f} T/s",
        f"all {whole:.3f} ms",
        f"{bf16 / whole:.2f} x bf16",
        f"cos {cosine:.5f}",
    )
    row(f"{name} {target}", *measurements)


def fp8_linear(x, x_scale, weight, scale, bias):
    return torch._scaled_mm(  # noqa: SLF001 - the only way to FP8 tensor cores
        x, weight.t(), scale_a=x_scale, scale_b=scale.t(), bias=bias, out_dtype=torch.bfloat16, use_fast_accum=True
    )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
