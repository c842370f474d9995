"""What the rounding of the weights decides: one scale a tensor, as FP8 QAT trains it, beside one a row.

    python benchmarks/rounding.py [--weights]

Random weights at the real sizes. `--weights` leaves out the GPU: only how far weights are from one another. The rest
compares steps of whole transformers in one process, in turns, CUDA events, medians of 20; 40 GB of a CUDA GPU.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import full_size
import torch
from gpu_clock import machine, median_ms, row, section
from render import cosine, make_inputs, reference, relative, three_steps

from reelmill_worker.kernels.quantize import quantize_rows_reference
from reelmill_worker.pipeline.network.linears import load_linear, quantize_weight
from reelmill_worker.pipeline.network.plan import RenderPlan, detect
from reelmill_worker.pipeline.network.transformer import WanTransformer

SHAPES = {"attention": (1536, 1536), "feed-forward, up": (8960, 1536), "feed-forward, down": (1536, 8960)}
LINEARS = ("blocks.0.attn1.to_q", "blocks.0.ffn.net.0.proj", "blocks.0.ffn.net.2")
TURNS = 3
TIMED = ("weights by tensor", "weights by row")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", action="store_true", help="weights alone, also on a CPU: seconds")
    options = parser.parse_args()
    for name, shape in SHAPES.items():
        print(f"\n== {name} {shape}: normal weights, then with rows of different size and a few outliers")
        for spread in (False, True):
            weights(drawn(shape, spread=spread))
    if not options.weights:
        print(machine())
        steps(detect())


def drawn(shape: tuple[int, int], *, spread: bool) -> torch.Tensor:
    generator = torch.Generator(DEVICE).manual_seed(0)
    weight = torch.randn(shape, generator=generator, device=DEVICE) / shape[1] ** 0.5
    if not spread:
        return weight
    outside = torch.rand(shape, generator=generator, device=DEVICE) < 1e-5
    weight = weight * torch.exp(0.5 * torch.randn(shape[0], 1, generator=generator, device=DEVICE))
    return torch.where(outside, 6 * weight, weight)


def weights(floats: torch.Tensor) -> None:
    """Print relative L2 between a weight, its codes by row and by tensor, and its int8 forms."""

    def fp8(scales) -> torch.Tensor:
        codes, scale = quantize_weight(floats, scales)
        return codes.float() * scale.reshape(-1, 1)

    by_row, trained = fp8("row"), fp8("tensor")

    def int8(weight: torch.Tensor, *, rows: bool) -> torch.Tensor:
        shaped = weight if rows else weight.reshape(1, -1)
        codes, scale = quantize_rows_reference(shaped, "int8")
        return (codes.float() * scale).reshape(weight.shape)

    row(
        "e4m3 by row, by tensor, to floats; to each other",
        *percents([(by_row, floats), (trained, floats), (by_row, trained)]),
    )
    row(
        "int8 to the weight by tensor: rows of codes, tensor of codes, rows of floats, tensor of floats",
        *percents(
            [
                (int8(trained, rows=True), trained),
                (int8(trained, rows=False), trained),
                (int8(floats, rows=True), trained),
                (int8(floats, rows=False), trained),
            ]
        ),
    )
    row(
        "int8 to floats: rows of floats, tensor of floats",
        *percents([(int8(floats, rows=True), floats), (int8(floats, rows=False), floats)]),
    )


def percents(pairs) -> list[str]:
    return [f"{100 * relative(got, want):.2f} %" for got, want in pairs]


def steps(plan: RenderPlan) -> None:
    tensors = {name: tensor.cpu() for name, tensor in full_size.transformer().state_dict().items()}
    inputs = make_inputs()
    latents, embedding = inputs
    exact, exact3 = reference(inputs)
    fp8 = replace(plan, linears="fp8", fp8="row", compile=True)
    plans = {
        "released recipe": replace(fp8, weight_scales="tensor", fp8="tensor"),
        "weights by tensor": replace(fp8, weight_scales="tensor"),
        "weights by row": replace(fp8, weight_scales="row"),
        "int8": replace(fp8, linears="int8", weight_scales="tensor"),
        "int8 of floats": replace(fp8, linears="int8", weight_scales="none"),
    }
    with section("a linear on 32,760 tokens: relative L2 to the released recipe's output"):
        outputs(plans, tensors)
    ready = {}
    for name, chosen in plans.items():
        with section(f"loading {name}"):
            transformer = WanTransformer.load(full_size.TRANSFORMER, tensors, plan=chosen)
            ready[name] = (transformer, transformer.prepare_text(embedding))
    got = {name: one.velocity(latents, 757.0, prepared) for name, (one, prepared) in ready.items()}
    last = {
        name: three_steps(lambda x, t, one=one, p=p: one.velocity(x, t, p), latents) for name, (one, p) in ready.items()
    }
    with section("a step"):
        for name in plans:
            row(
                name,
                f"to bf16: {relative(got[name], exact):.5f}, cosine {cosine(got[name], exact):.5f}",
                f"to the released recipe: {relative(got[name], got['released recipe']):.5f}",
                f"three steps to bf16: {relative(last[name], exact3):.5f}, cosine {cosine(last[name], exact3):.5f}",
            )
    with section(f"ms a step, {TURNS} turns of 20"):
        times: dict[str, list[float]] = {name: [] for name in TIMED}
        for _ in range(TURNS):
            for name in TIMED:
                one, prepared = ready[name]
                times[name].append(
                    median_ms(lambda one=one, p=prepared: one.velocity(latents, 757.0, p), repeats=20, warm=2)
                )
        for name, taken in times.items():
            row(name, *(f"{ms:.1f} ms" for ms in taken))


def outputs(plans: dict[str, RenderPlan], tensors) -> None:
    generator = torch.Generator("cuda").manual_seed(1)
    for name in LINEARS:
        k = tensors[f"{name}.weight"].shape[1]
        x = torch.randn(32760, k, generator=generator, device="cuda")
        # Tokens of different size, as they come out of the norms' modulation.
        x = (x * torch.exp(0.3 * torch.randn(32760, 1, generator=generator, device="cuda"))).bfloat16()
        found = {}
        for label, chosen in plans.items():
            linear = load_linear(tensors, [name], chosen)
            found[label] = linear(*quantize_rows_reference(x, linear.target)).float()
        want = found.pop("released recipe")
        row(name, *(f"{label}: {100 * relative(got, want):.2f} %" for label, got in found.items()))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
