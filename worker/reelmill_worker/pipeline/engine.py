"""A model in memory under one plan: spec in, frames out. It knows no fallbacks; the resident does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelmill_common.jobs import RenderSpec, Sampler, Stage, denoise_stage
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.checks import FrameWatch, check_finite, finite_flag
from reelmill_worker.pipeline.host_copy import FrameBuffer, HostCopy, finish
from reelmill_worker.pipeline.network.plan import RenderPlan
from reelmill_worker.pipeline.network.text_graphs import TextGraphs
from reelmill_worker.pipeline.network.text_model import load_text_model
from reelmill_worker.pipeline.network.tiny_decoder import TinyDecoder
from reelmill_worker.pipeline.network.transformer import TextContext, WanTransformer
from reelmill_worker.pipeline.noise import Noise, latent_size
from reelmill_worker.pipeline.samplers import dmd3, unipc3
from reelmill_worker.pipeline.text import SharedEmbeddingCache, TextEncoder
from reelmill_worker.pipeline.yuv import converter

PREPARED = 4
"""Specs whose noise is kept at most: 8.4 MB each at 81 frames of 832x480."""

OnStage = Callable[[str], None]
"""Called before each stage with its name. What it raises ends the render; the engine stays usable."""


class FrameDecoder(Protocol):
    """Turns latents into frames, some at a time."""

    def decode_chunks(self, latents: Tensor) -> Iterator[Tensor]:
        """Yield (n, height, width, 3) uint8 on the plan's device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """A finished render, before it is a file.

    Attributes:
        planes: (n, height * 3 / 2, width), as `yuv.to_yuv420` makes them.
        latents_sha256: Hash of the final latents: equal specs give equal hashes on one worker class.
        seconds: Seconds by stage: `encode_text`, `denoise`, `decode`.
        plan: What rendered it; differs from the resident's own plan after a fallback.
    """

    planes: NDArray[np.uint8]
    latents_sha256: str
    seconds: Mapping[str, float]
    plan: RenderPlan


@dataclass(slots=True, kw_only=True, eq=False)
class Engine:
    """The loaded parts. One render at a time, in one thread; `prepare` may be called from another."""

    plan: RenderPlan
    text: TextEncoder
    transformer: WanTransformer
    decoders: Mapping[str, Callable[[], FrameDecoder]]
    to_planes: Callable[[Tensor], Tensor]
    _loaded: dict[str, FrameDecoder] = field(default_factory=dict[str, FrameDecoder])
    _drawn: dict[tuple[object, ...], tuple[Noise, Tensor]] = field(
        default_factory=dict[tuple[object, ...], tuple[Noise, Tensor]]
    )

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        plan: RenderPlan,
        *,
        text: TextEncoder | None = None,
        shared_cache: SharedEmbeddingCache | None = None,
    ) -> Engine:
        """Load a checked model under a plan.

        Args:
            folder: The model.
            plan: Device, precisions, kernels.
            text: A text encoder that is loaded already and serves this plan too.
            shared_cache: Embeddings that other workers made.

        Raises:
            InvalidModel: A tensor does not fit after all.
        """
        engine = cls(
            plan=plan,
            text=text or load_text_encoder(folder, plan, shared_cache=shared_cache),
            transformer=WanTransformer.load(folder.transformer.config, folder.transformer.tensors, plan=plan),
            decoders={
                "tiny": lambda: TinyDecoder.load(folder.tiny_decoder.tensors, plan=plan),
                "wan": lambda: _load_wan_decoder(folder, plan),
            },
            to_planes=converter(compiled=plan.compile),
        )
        engine.decoder("tiny")
        return engine

    def decoder(self, name: str) -> FrameDecoder:
        """Return a decoder, loading the Wan one only when the first job asks for it: it takes 150 MB of the GPU."""
        if name not in self._loaded:
            self._loaded[name] = self.decoders[name]()
        return self._loaded[name]

    def prepare(self, spec: RenderSpec) -> None:
        """Do beforehand what a render of a spec begins with; may be called while another spec is rendered.

        The render is the same to the bit, prepared or not.

        Raises:
            PromptTooLong: The prompt has more than 512 tokens.
        """
        key = _noise_key(spec)
        if key not in self._drawn and len(self._drawn) < PREPARED:
            noise = Noise.seeded(*key)
            self._drawn[key] = (noise, noise.initial())
        self.text.encode_ahead(spec.prompt)

    def _draw(self, spec: RenderSpec) -> tuple[Noise, Tensor]:
        """Return a spec's stream of noise and its first draw, made now unless it was made beforehand."""
        key = _noise_key(spec)
        drawn = self._drawn.pop(key, None)
        if drawn is not None:
            return drawn
        if len(self._drawn) >= PREPARED:
            self._drawn.clear()  # prepared for jobs that others took
        noise = Noise.seeded(*key)
        return noise, noise.initial()

    def render(self, spec: RenderSpec, on_stage: OnStage) -> Rendered:
        """Render one clip.

        Raises:
            PromptTooLong: The prompt has more than 512 tokens.
            BadOutput: The latents or frames are not what a clip can be.
        """
        clock = StageClock(device=self.plan.device, on_stage=on_stage)
        clock.enter(Stage.ENCODE_TEXT, Stage.ENCODE_TEXT)
        with ThreadPoolExecutor(max_workers=1) as beside:
            # On another core: 20 ms for 81 frames of 832x480, while the GPU encodes the text.
            drawn = beside.submit(self._draw, spec)
            text = self.transformer.prepare_text(self.text.encode(spec.prompt))
        noise, start = drawn.result()
        latents = self._denoise(spec, text, start, noise, clock)
        clock.enter(Stage.DECODE, Stage.DECODE)
        copy, finite = HostCopy.start(latents), HostCopy.start(finite_flag(latents))
        buffer, watch = self._decode(spec, latents)
        check_finite(finite.wait())
        digest = latents_hash(copy.wait())  # hashed while the GPU decodes
        watch.judge(spec.frames)
        clock.leave()
        return Rendered(planes=buffer.planes().numpy(), latents_sha256=digest, seconds=clock.seconds, plan=self.plan)

    @torch.inference_mode()
    def _denoise(self, spec: RenderSpec, text: TextContext, start: Tensor, noise: Noise, clock: StageClock) -> Tensor:
        def velocity(x: Tensor, timestep: float) -> Tensor:
            return self.transformer.velocity(x, timestep, text)

        def on_step(step: int) -> None:
            clock.enter(Stage.DENOISE, denoise_stage(step))

        x = start.to(self.plan.device)
        if spec.sampler == "unipc3":
            return unipc3(velocity, x, on_step=on_step)
        return dmd3(velocity, x, noise.again, on_step=on_step)

    @torch.inference_mode()
    def _decode(self, spec: RenderSpec, latents: Tensor) -> tuple[FrameBuffer, FrameWatch]:
        watch = FrameWatch()
        buffer = FrameBuffer.sized(spec.frames, spec.height, spec.width, device=self.plan.device)
        for chunk in self.decoder(spec.decoder).decode_chunks(latents):
            watch.look(chunk)
            buffer.add(self.to_planes(chunk))
        return buffer, watch


def _noise_key(spec: RenderSpec) -> tuple[int, tuple[int, int, int], Sampler]:
    return spec.seed, latent_size(spec), spec.sampler


@dataclass(slots=True, kw_only=True)
class StageClock:
    """Announces each stage and takes its time.

    The GPU runs behind the host, so each boundary waits for it: only then is the time true, and only then does a cancel
    at a boundary stop the next step rather than find all three queued. It costs a launch latency, under 1 ms of 400.
    """

    device: str
    on_stage: OnStage
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    _stage: str = ""
    _since: float = 0.0

    def enter(self, stage: Stage, announced: str) -> None:
        """End the stage before, and announce the next; what the announcement raises passes through."""
        self.leave()
        self.on_stage(announced)
        self._stage, self._since = str(stage), time.monotonic()

    def leave(self) -> None:
        """End the stage."""
        if self._stage:
            finish(self.device)
            spent = time.monotonic() - self._since
            self.seconds[self._stage] = round(self.seconds.get(self._stage, 0.0) + spent, 4)
        self._stage = ""


def load_text_encoder(
    folder: ModelFolder, plan: RenderPlan, *, shared_cache: SharedEmbeddingCache | None = None
) -> TextEncoder:
    """Load the tokenizer and the text encoder of a model."""
    place = plan.gpu if plan.text_encoder != "cpu" else "cpu"
    padded = f" padded to {plan.text_padding}" if plan.text_padding else ""
    return TextEncoder(
        tokens=folder.tokens,
        graphs=TextGraphs.record(load_text_model(folder.text_encoder, plan=plan), plan.text_padding),
        device=torch.device(plan.device),
        dtype=plan.torch_dtype,
        identity=f"{folder.text_hash} {plan.text_encoder} {plan.dtype} {place} torch {torch.__version__}{padded}",
        shared_cache=shared_cache,
    )


def _load_wan_decoder(folder: ModelFolder, plan: RenderPlan) -> FrameDecoder:
    from reelmill_worker.pipeline.network.wan_decoder import WanDecoder  # noqa: PLC0415 - diffusers takes seconds to import

    return WanDecoder.load(folder.vae.config, folder.vae.tensors, plan=plan)


def latents_hash(latents: Tensor) -> str:
    """Hash latents on the CPU: dtype, shape and bytes, so that equal hashes mean equal latents."""
    header = f"{latents.dtype} {tuple(latents.shape)}".encode()
    return hashlib.sha256(header + latents.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
