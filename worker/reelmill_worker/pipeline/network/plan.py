"""The plan: how one machine renders, chosen once from what its GPU is and what imports, and stored with every clip.

Nothing here imports torch until `detect` is called, so a command can ask what a GPU that is not here would do.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from reelmill_common.errors import NotFound, WorkerUnfit
from reelmill_worker.pipeline.checkpoint.layout import WeightScales
from reelmill_worker.pipeline.network.card_table import GPUS

if TYPE_CHECKING:
    import torch

Linears = Literal["fp8", "int8", "bf16", "float32"]
Granularity = Literal["row", "tensor"]
TextResidency = Literal["gpu-bf16", "gpu-8bit", "cpu"]

LATENTS_A_CHUNK = 3
"""Latent frames that the tiny decoder takes at once: 21 = 7 x 3, and a peak of 1.9 GB at 832x480 (measured)."""
GB_FOR_BF16_TEXT = 20
"""GPU memory that holds UMT5-XXL in bfloat16 (11.4 GB) beside the rest (about 5 GB) with room to spare."""
GB_FOR_8BIT_TEXT = 12
"""GPU memory that holds UMT5-XXL with 8-bit weights (5.7 GB) beside the rest."""
TEXT_PADDING = 64
"""Tokens: prompts are padded to a multiple of it where the text encoder is recorded (`text_graphs.py`)."""
GB_FOR_CHUNKS = 8
"""Card memory below which the decoder takes one latent frame at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """What a plan is chosen from.

    Attributes:
        name: As the driver tells it, or as in the table of `gpu_facts`.
        capability: CUDA compute capability, (8, 6) for sm86.
        memory_gb: Total memory of the gpu.
        torch_version: (major, minor).
        sage: Version of the importable `sageattention`, or "" if it does not import.
        triton: Whether Triton imports.
    """

    name: str
    capability: tuple[int, int]
    memory_gb: float
    torch_version: tuple[int, int] = (2, 13)
    sage: str = "2.2.0"
    triton: bool = True

    @property
    def arch(self) -> str:
        """Return the capability as compilers write it: `sm86`."""
        return f"sm{self.capability[0]}{self.capability[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderPlan:
    """How one machine renders.

    Attributes:
        device: `cuda` or `cpu`.
        gpu: The card's name, or `cpu`.
        dtype: The type of everything that is not quantised.
        linears: How the 10 large linears of each block multiply. On a CPU `fp8` holds e4m3 weights and dequantises.
        weight_scales: How weights in floats become e4m3 codes: `tensor`, one scale a weight, as FP8 QAT rounded them
            while the model was trained; `row`, one an output channel, for weights that were not trained so; `none`,
            floats stay as they are. Of a quantised artifact: what it holds. Decision 0013.
        fp8: How `fp8` linears multiply: `row`, a scale a token (fast), or `tensor`, one for the whole activation, as
            the released code has it. Either takes weights of either scales.
        attention: Kernel of self-attention, a name of `attention.KERNELS`.
        projected: Whether that kernel gets its 8-bit operands straight from the projection, by our kernels.
        cross_attention: Kernel of cross-attention over the 512 text tokens.
        fused: Whether the Triton kernels run between the linears; else their plain twins.
        text_encoder: Where UMT5 lives and in what precision.
        text_padding: Prompts are padded to a multiple of so many tokens, and the encoder is recorded; 0: neither.
        decode_chunk: Latent frames that the tiny decoder takes at once.
        compile: Whether blocks and decoder go through `torch.compile`.
        reasons: Why each choice is not the best there is, for people.
    """

    device: Literal["cuda", "cpu"]
    gpu: str
    dtype: Literal["bfloat16", "float32"]
    linears: Linears
    weight_scales: WeightScales = "tensor"
    fp8: Granularity = "row"
    attention: str = "sdpa"
    projected: bool = False
    cross_attention: str = "sdpa"
    fused: bool = False
    text_encoder: TextResidency = "cpu"
    text_padding: int = 0
    decode_chunk: int = LATENTS_A_CHUNK
    compile: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def torch_dtype(self) -> torch.dtype:
        """Return `dtype` as torch's object."""
        import torch  # noqa: PLC0415 - see the module's header

        return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON values, for recipes and worker records."""
        return asdict(self) | {"reasons": list(self.reasons)}

    def for_weights(self, stored: WeightScales | None) -> RenderPlan:
        """Return the plan for a model: what its file holds as codes stays as it is, and floats follow the plan.

        Args:
            stored: Scales of the codes in the file; None for floats.
        """
        if stored in (None, self.weight_scales):
            return self
        reasons = self.reasons
        if stored == "row":
            reasons += ("weights by row: the model was quantised so; one that FP8 QAT trained wants them by tensor",)
        return replace(self, weight_scales=stored, reasons=reasons)

    def low_memory(self) -> RenderPlan:
        """Return the plan to try once after the GPU ran out of memory: less resident, smaller chunks."""
        reason = "low memory: text encoder on the CPU and one latent frame a decode, after the GPU ran out"
        return replace(self, text_encoder="cpu", text_padding=0, decode_chunk=1, reasons=(*self.reasons, reason))


def cpu_plan(*, linears: Linears = "fp8") -> RenderPlan:
    """Return the plan of a machine without a GPU: float32, and the same e4m3 weights, dequantised."""
    reason = "no CUDA GPU: float32 on the CPU, fit for the tiny profile only"
    scales: WeightScales = "none" if linears == "float32" else "tensor"
    return RenderPlan(
        device="cpu", gpu="cpu", dtype="float32", linears=linears, weight_scales=scales, reasons=(reason,)
    )


def choose_plan(gpu: GpuFacts) -> RenderPlan:
    """Choose the fastest plan that the gpu, its memory and what imports allow.

    Raises:
        WorkerUnfit: The card is older than Ampere: it has no bfloat16.
    """
    if gpu.capability < (8, 0):
        raise WorkerUnfit(
            f"{gpu.name} ({gpu.arch}) has no bfloat16; use a card of compute capability 8.0 or newer (Ampere, 2020), "
            f"or the tiny profile on the CPU"
        )
    reasons: list[str] = []
    kernels = kernel_candidates(gpu, reasons)
    text = _text_residency(gpu, reasons)
    return RenderPlan(
        device="cuda",
        gpu=gpu.name,
        dtype="bfloat16",
        linears=_linears(gpu, reasons),
        fp8=_granularity(gpu, reasons),
        attention=kernels[0],
        projected=kernels[0] in PROJECTED_KERNELS and gpu.triton,
        cross_attention=_plain_kernels(gpu)[0],
        fused=_fused(gpu, reasons),
        text_encoder=text,
        text_padding=TEXT_PADDING if text == "gpu-bf16" else 0,  # a card short of memory has none for recordings
        decode_chunk=LATENTS_A_CHUNK if gpu.memory_gb >= GB_FOR_CHUNKS else 1,
        compile=gpu.triton,
        reasons=tuple(reasons),
    )


def _linears(gpu: GpuFacts, reasons: list[str]) -> Linears:
    if gpu.capability >= (8, 9):
        return "fp8"
    if gpu.triton:
        reasons.append(f"linears int8: {gpu.arch} has no FP8 tensor cores; its INT8 ones are up to 4 x bfloat16")
        return "int8"
    reasons.append(f"linears bf16: {gpu.arch} has no FP8 tensor cores, and the INT8 kernel needs Triton")
    return "bf16"


def _granularity(gpu: GpuFacts, reasons: list[str]) -> Granularity:
    if gpu.capability == (9, 0) or gpu.capability < (8, 9):
        return "row"
    if gpu.capability == (8, 9) and gpu.torch_version >= (2, 12):
        return "row"
    if gpu.capability == (8, 9):
        # pytorch#177651: row-wise _scaled_mm ignores the current stream on sm89 before torch 2.12.
        reasons.append("fp8 activations by tensor: row-wise scales need torch 2.12 on sm89 (pytorch#177651)")
    else:
        reasons.append(f"fp8 activations by tensor: row-wise scales are not reliable on {gpu.arch} (pytorch#155991)")
    return "tensor"


def _fused(gpu: GpuFacts, reasons: list[str]) -> bool:
    if not gpu.triton:
        reasons.append("plain elementwise operations: Triton does not import")
    return gpu.triton


def _text_residency(gpu: GpuFacts, reasons: list[str]) -> TextResidency:
    if gpu.memory_gb >= GB_FOR_BF16_TEXT:
        return "gpu-bf16"
    if gpu.memory_gb >= GB_FOR_8BIT_TEXT:
        reasons.append(f"text encoder in 8 bits: {gpu.memory_gb:.0f} GB do not hold 11.4 GB of it beside the rest")
        return "gpu-8bit"
    reasons.append(f"text encoder on the CPU: {gpu.memory_gb:.0f} GB do not hold it beside the rest")
    return "cpu"


SAGE2_KERNELS: dict[tuple[int, int], tuple[str, ...]] = {
    (8, 0): ("sage2-fp16", "sage2-triton"),
    # GA10x accumulates in fp16 at twice the rate of fp32, so the kernel with fp16 inside goes first.
    (8, 6): ("sage2-fp16-mixed", "sage2-triton"),
    (8, 9): ("sage2-fp8", "sage2-triton"),
    (9, 0): ("sage2-fp8-sm90", "sage2-fp16"),
    (12, 0): ("sage2-fp8-warp",),
    (12, 1): ("sage2-fp8-warp",),
}
"""SageAttention 2.x by architecture, best first. Source: its core.py at d1a57a5, and our measurements on an H100."""
PROJECTED_KERNELS = ("sage2-fp16", "sage2-fp16-mixed", "sage2-fp8", "sage2-fp8-sm90")
"""The kernels that `attention.projected_attention` can feed."""


def kernel_candidates(gpu: GpuFacts, reasons: list[str] | None = None) -> tuple[str, ...]:
    """Return the self-attention kernels for a gpu, best first; the last always works.

    Args:
        gpu: The card and what imports.
        reasons: Gets a line for each better kernel that is left out.
    """
    kernels, complaint = _sage_kernels(gpu)
    plain = _plain_kernels(gpu)
    if complaint and reasons is not None:
        reasons.append(f"attention {(*kernels, *plain)[0]}: {complaint}")
    return (*kernels, *plain)


def _sage_kernels(gpu: GpuFacts) -> tuple[tuple[str, ...], str]:
    """Return what SageAttention has for a card that is worth using, and why it is not the best there could be."""
    own = SAGE2_KERNELS.get(gpu.capability, ())
    newer = gpu.sage.startswith("2.")
    # On sm90, 1.0.6 takes 15.7 ms where cuDNN takes 10.9 (our measurement on an H100).
    older = ("sage1",) if gpu.capability < (9, 0) else ()
    cases: list[tuple[bool, tuple[str, ...], str]] = [
        (not own, (), f"SageAttention has no kernel for {gpu.arch}"),
        (not gpu.sage, (), "sageattention does not import"),
        (not gpu.triton, (), "sageattention needs Triton, which does not import"),
        (newer, own, ""),
        (bool(older), older, f"sageattention {gpu.sage} is installed; build 2.2 from source for a faster kernel"),
        (True, older, f"sageattention {gpu.sage} has nothing faster for {gpu.arch}; build 2.2 from source"),
    ]
    return next((kernels, complaint) for applies, kernels, complaint in cases if applies)


def _plain_kernels(gpu: GpuFacts) -> tuple[str, ...]:
    if gpu.capability >= (9, 0):
        return ("sdpa-cudnn", "sdpa-flash", "sdpa")
    return ("sdpa-flash", "sdpa")


_FORM = (
    r"\b(nvidia|geforce|generation|gpu|blackwell|workstation|server|edition|pcie|nvl|hbm\d\w?|\d+ ?gb)\b|-?sxm\d?\b|-"
)
"""Parts of the driver's names that the table's names lack: maker, shape and memory."""


def gpu_facts(name: str) -> GpuFacts:
    """Return the facts of a card that need not be here, as if everything that could help were installed.

    Raises:
        NotFound: The card is not in the table; the message lists those that are.
    """
    if name.lower() in (gpu.lower() for gpu in GPUS):
        wanted, stated = name.lower(), None
    else:
        stated = re.search(r"(\d+) ?gb\b", name.lower())  # the driver's "A100-SXM4-40GB", a shop's "RTX 3080 12GB"
        wanted = " ".join(re.sub(_FORM, " ", name.lower()).split())
    for gpu, (capability, memory_gb) in GPUS.items():
        if gpu.lower() == wanted:
            known = float(stated[1]) if stated and wanted != "gh200" else memory_gb  # GH200 tells its CPU memory
            return GpuFacts(name=gpu, capability=capability, memory_gb=known)
    raise NotFound(f"no GPU {name!r} in the table; use one of {', '.join(GPUS)}")


def this_gpu() -> GpuFacts | None:
    """Return the facts of the GPU that torch uses by default, or None on a machine without one."""
    import torch  # noqa: PLC0415 - see the module's header

    from reelmill_worker.kernels.dsl import AVAILABLE as TRITON_IMPORTS  # noqa: PLC0415 - as above
    from reelmill_worker.pipeline.network.attention import sage_version  # noqa: PLC0415 - as above

    if not torch.cuda.is_available() or torch.version.hip:  # ROCm answers under CUDA's names; no kernel here is for it
        return None
    major, minor = torch.__version__.split(".")[:2]
    properties = torch.cuda.get_device_properties(0)
    return GpuFacts(
        name=properties.name,
        capability=(properties.major, properties.minor),
        memory_gb=properties.total_memory / 1e9,
        torch_version=(int(major), int(minor)),
        sage=sage_version(),
        triton=TRITON_IMPORTS,
    )


def detect() -> RenderPlan:
    """Choose the plan for this machine, with an attention kernel that has passed its self-test here.

    Raises:
        WorkerUnfit: There is a GPU, but it cannot render.
    """
    gpu = this_gpu()
    if gpu is None:
        return cpu_plan()
    from reelmill_worker.pipeline.network.attention import first_fit, probe_projected  # noqa: PLC0415 - see the module's header

    plan = choose_plan(gpu)
    kernel, complaints = first_fit(kernel_candidates(gpu), device="cuda")
    projected = gpu.triton and kernel in PROJECTED_KERNELS
    if projected and (error := probe_projected(kernel, device="cuda").error):
        projected, complaints = False, (*complaints, f"attention {kernel} through its own wrapper: {error}")
    return replace(plan, attention=kernel, projected=projected, reasons=(*plan.reasons, *complaints))
