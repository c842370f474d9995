"""The resident: a model that stays loaded and renders clip after clip, with one fallback for each way to fail."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
import torch

from reelmill_common.errors import BadOutput, OutOfMemory, ReelmillError
from reelmill_common.jobs import RenderSpec
from reelmill_common.profiles import TINY
from reelmill_common.recipe import versions
from reelmill_worker.pipeline.checkpoint.manifest import is_trained_tiny
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.checks import check_known_picture
from reelmill_worker.pipeline.compile_cache import CompileCache
from reelmill_worker.pipeline.engine import Engine, OnStage, Rendered
from reelmill_worker.pipeline.network.plan import RenderPlan
from reelmill_worker.pipeline.text import SharedEmbeddingCache

log = structlog.get_logger(__name__)

PLAIN_ATTENTION = "sdpa"

CPU_THREADS = 1
"""OpenMP's threads wait for each other by spinning: on two cores that others use too, a tiny clip of 81 frames took
9.5 s with two threads and 0.5 s with one (our measurement). One thread also gives the same bits on every machine."""

CANARY_PROMPT = "A small wooden boat drifts across a calm lake at sunrise, mist over the water, birds in the distance."
CANARIES = {
    # The shape that most jobs have, so that its graphs are compiled before the first of them.
    "cuda": RenderSpec(prompt=CANARY_PROMPT),
    # What the trained tiny model is known to show; random weights render any prompt alike.
    "cpu": RenderSpec(prompt="A big red ball bounces over a green floor at noon", profile="tiny", frames=9),
}
"""The clip that a worker must render twice with equal bits before it takes jobs, by device."""


class Resident:
    """A model in memory, ready to render. One render at a time, in one thread; `prepare` may be called from another."""

    def __init__(
        self,
        folder: ModelFolder,
        *,
        plan: RenderPlan,
        compile_cache: Path | None = None,
        shared_cache: SharedEmbeddingCache | None = None,
    ) -> None:
        """Load a checked model; `load` opens and checks it first."""
        self._folder = folder
        self._shared_cache = shared_cache
        plan = plan.for_weights(folder.weight_scales)
        self._compiled = CompileCache.of(compile_cache, plan, folder.model_hash)
        self._compiled.load()
        self._plan = plan
        self._engine: Engine | None = Engine.load(folder, plan, shared_cache=shared_cache)
        self._spares: dict[RenderPlan, Engine] = {}
        self._ahead = True

    @classmethod
    def load(
        cls,
        model_dir: Path,
        *,
        plan: RenderPlan,
        compile_cache: Path | None = None,
        shared_cache: SharedEmbeddingCache | None = None,
    ) -> Resident:
        """Check a model folder and load it: a second for the tiny model, up to a minute for the real one.

        Args:
            model_dir: Folder in the diffusers layout.
            plan: How this machine renders.
            compile_cache: Folder of ours for what the compiler makes; without one it is made at every start.
            shared_cache: Embeddings that other workers made, and where this one's go.

        Raises:
            InvalidModel: The folder is incomplete, mis-shaped or unsafe.
        """
        started = time.monotonic()
        if plan.device == "cpu":
            torch.set_num_threads(CPU_THREADS)
        resident = cls(ModelFolder.open(model_dir), plan=plan, compile_cache=compile_cache, shared_cache=shared_cache)
        seconds = round(time.monotonic() - started, 3)
        log.info("model.loaded", model_hash=resident.model_hash[:16], gpu=plan.gpu, seconds=seconds)
        return resident

    @property
    def model_hash(self) -> str:
        """One name for all weights and configs, 64 hexadecimal digits."""
        return self._folder.model_hash

    @property
    def plan(self) -> RenderPlan:
        """How this machine renders now: another plan than at the start once the GPU ran out of memory."""
        return self._plan

    def describe(self) -> dict[str, Any]:
        """Return what decides the pixels beside the spec, as JSON values."""
        return {
            "renderer": "model",
            "model_hash": self.model_hash,
            "plan": self.plan.describe(),
            "versions": versions(),
        }

    def render(self, spec: RenderSpec, on_stage: OnStage) -> Rendered:
        """Render one clip. What `on_stage` raises passes through, and the resident stays usable.

        Bad output is tried once more with plain attention, for that clip; lack of memory once more on the low-memory
        plan, which stays.

        Raises:
            PromptTooLong: The prompt has more than 512 tokens.
            BadOutput: The output is black, frozen, too short or not finite, also with plain attention.
            OutOfMemory: Also the low-memory plan does not fit.
        """
        try:
            return self._in_memory(spec, on_stage)
        except BadOutput as err:
            plain = self._plain_plan(f"for this clip: {err}")
            if plain is None:
                raise
            log.warning("render.fell_back", to=PLAIN_ATTENTION, reason=str(err))
        with _memory_errors("with plain attention beside the usual one"):
            return self._spare(plain).render(spec, on_stage)

    def prepare(self, spec: RenderSpec) -> None:
        """Encode a prompt and draw its noise beforehand; from another thread, while a clip renders.

        Never raises, and gives up for good when memory is short: what is not prepared is done when its turn comes.
        """
        engine = self._engine
        if engine is None or not self._ahead:
            return
        try:
            engine.prepare(spec)
        except torch.OutOfMemoryError as err:
            self._ahead = False
            log.warning("prepare.given_up", reason=_first_line(err))
        except ReelmillError as err:  # the render itself will say so
            log.debug("prepare.failed", code=err.code)

    def canary(self) -> Rendered:
        """Render a fixed job twice, check it, and return the second: it is also the time of a warm render.

        An attention kernel that spoils it is given up for plain attention, for good.

        Raises:
            BadOutput: The output is unusable, or the two differ, which a healthy GPU's never do, or the trained tiny
                model does not show what the prompt says.
            OutOfMemory: Also the low-memory plan does not fit.
        """
        spec = CANARIES[self.plan.device]
        first = self._first_canary(spec)
        second = self._in_memory(spec, _no_stage)
        if first.latents_sha256 != second.latents_sha256:
            raise BadOutput("two renders of one job differ; the GPU, its memory or a kernel is at fault")
        if spec.profile == TINY and is_trained_tiny(self._folder.root):
            check_known_picture(second.planes)
        self._compiled.save()
        return second

    def _first_canary(self, spec: RenderSpec) -> Rendered:
        try:
            return self._in_memory(spec, _no_stage)
        except BadOutput as err:
            plain = self._plain_plan(f"since the canary: {err}")
            if plain is None:
                raise
            log.warning("plan.fell_back", to=PLAIN_ATTENTION, reason=str(err))
        self._reload(plain)  # not above: the error keeps the old model in memory
        return self._in_memory(spec, _no_stage)

    def _in_memory(self, spec: RenderSpec, on_stage: OnStage) -> Rendered:
        try:
            return self._loaded().render(spec, on_stage)
        except torch.OutOfMemoryError as err:
            low = self.plan.low_memory()
            if (low.text_encoder, low.decode_chunk) == (self.plan.text_encoder, self.plan.decode_chunk):
                raise OutOfMemory(_first_line(err)) from err
            log.warning("render.fell_back", to="low memory", reason=_first_line(err))
        self._reload(low)
        with _memory_errors("also on the low-memory plan"):
            return self._loaded().render(spec, on_stage)

    def _loaded(self) -> Engine:
        """The engine; loaded now if the last attempt to load it failed."""
        if self._engine is None:
            self._engine = Engine.load(self._folder, self._plan, shared_cache=self._shared_cache)
        return self._engine

    def _reload(self, plan: RenderPlan) -> None:
        """Load the model again under another plan. The old one is dropped first: both do not fit."""
        self._engine = None
        self._spares.clear()
        self._plan = plan
        if plan.device == "cuda":
            try:
                torch.cuda.empty_cache()
            except RuntimeError as err:  # torch before 2.12, after a recording that failed at its end (pytorch#180395)
                log.warning("memory.not_returned", error=_first_line(err))  # torch itself uses it again

    def _plain_plan(self, reason: str) -> RenderPlan | None:
        """The plan with the attention that has no tricks, or None where that is what failed."""
        if self.plan.attention.startswith(PLAIN_ATTENTION):
            return None
        note = f"attention {PLAIN_ATTENTION} {reason}"
        return replace(self.plan, attention=PLAIN_ATTENTION, projected=False, reasons=(*self.plan.reasons, note))

    def _spare(self, plan: RenderPlan) -> Engine:
        key = replace(plan, reasons=())
        if key not in self._spares:
            self._spares[key] = Engine.load(self._folder, plan, text=self._loaded().text)
        return self._spares[key]


def _no_stage(_stage: str) -> None:
    """Ignore a stage: the canary's progress is not shown."""


@contextmanager
def _memory_errors(when: str) -> Generator[None]:
    try:
        yield
    except torch.OutOfMemoryError as err:
        raise OutOfMemory(f"{when}: {_first_line(err)}") from err


def _first_line(err: BaseException) -> str:
    return str(err).partition("\n")[0]
