"""Renders a spec: the resident pipeline, or a renderer of fixed duration that measures the farm around it."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from reelmill_common.errors import BadOutput, InvalidModel, WorkerUnfit
from reelmill_common.jobs import RENDER_STAGES, RenderSpec, Stage
from reelmill_common.profiles import TINY
from reelmill_common.settings import Settings
from reelmill_worker.child.embedding_cache import open_embedding_cache
from reelmill_worker.delivery.clip_files import Rendering
from reelmill_worker.pipeline.checkpoint.manifest import is_made_up

OnStage = Callable[[str], None]
"""Called before each stage with its name. An error that it raises ends the render; the renderer stays usable."""

log = structlog.get_logger(__name__)

FIXED = "fixed:"
BLACK, NO_COLOUR = 16, 128
"""Luma and chroma of black in limited range."""
BROKEN = ":broken"
"""After `fixed:SECONDS`: every render fails its output check, as on a GPU with bad memory; the canary passes."""
KILL_MARK = "[kill]"
"""In a prompt: kills the process of a fixed renderer halfway, as a job that crashes the driver would."""


class Renderer(Protocol):
    """A loaded model, or a stand-in for one."""

    def render(self, spec: RenderSpec, on_stage: OnStage) -> Rendering:
        """Render one clip.

        Raises:
            RenderFailed: Among them `BadOutput` and `OutOfMemory`.
            InvalidJob: The job is wrong in a way that only the model could find (`PromptTooLong`).
        """
        ...

    def prepare(self, spec: RenderSpec) -> None:
        """Prepare what can be done before the render: from another thread, while a clip renders. Never raises."""
        ...

    def canary(self) -> object:
        """Render a small fixed job and check it. Raises the errors of `render`."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the pixels apart from the spec: model, plan, versions."""
        ...


def open_renderer(settings: Settings, profile: str) -> Renderer:
    """Load what `settings.renderer` asks for. Takes seconds to minutes; imports torch only for a real model.

    Raises:
        InvalidModel: The model folder is incomplete, mis-shaped or unsafe, or of random weights for a real profile.
    """
    if settings.renderer.startswith(FIXED):
        seconds, broken, _ = settings.renderer.removeprefix(FIXED).partition(BROKEN)
        return FixedDurationRenderer(seconds=float(seconds), broken=bool(broken))
    return _load_resident(settings, profile)


def _load_resident(settings: Settings, profile: str) -> Renderer:
    from reelmill_worker.pipeline.network.plan import detect  # noqa: PLC0415 - torch: only the rendering child may load it
    from reelmill_worker.pipeline.resident import Resident  # noqa: PLC0415 - as above

    folder = settings.model_folder(profile)
    if profile != TINY and is_made_up(folder):
        raise InvalidModel(
            f"{folder} holds random weights (`reelmill model tiny`), which render nothing of {profile}; remove it and "
            f"run `reelmill model pull`, or serve the profile tiny"
        )
    plan = detect()
    if profile != TINY and plan.device == "cpu":
        raise WorkerUnfit(
            f"torch sees no CUDA GPU here, and {profile} needs one; install torch's CUDA build (not CPU or ROCm) "
            f"and NVIDIA's driver, or serve the profile tiny"
        )
    return Resident.load(
        folder,
        plan=plan,
        compile_cache=settings.state_dir / "compile-cache",
        shared_cache=open_embedding_cache(settings),
    )


class TestPicture:
    """The frames of a `FixedDurationRenderer`: a bright band that moves down a gradient."""

    __test__ = False  # not a test, whatever pytest makes of the name

    def __init__(self, spec: RenderSpec, seconds: float = 0.0) -> None:
        """Draw the test card for a spec."""
        self.planes = _moving_band(spec)
        self.latents_sha256 = hashlib.sha256(spec.to_json().encode()).hexdigest()
        self.seconds = {str(Stage.DENOISE): seconds}
        self.plan = None


class FixedDurationRenderer:
    """Shows a test card after a fixed time, without a model: to measure the farm, never to make clips.

    It passes through the same stages, so orders, leases, deliveries and stores work as for a real clip. On request it
    fails: see `BROKEN` and `KILL_MARK`.
    """

    def __init__(self, *, seconds: float, broken: bool = False) -> None:
        """Take `seconds` for each render, whatever its size."""
        self._seconds = seconds
        self._broken = broken

    def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
        """Wait out the duration, stage by stage.

        Raises:
            BadOutput: The renderer was told to be broken.
        """
        started = time.monotonic()
        picture = TestPicture(spec)
        for number, stage in enumerate(RENDER_STAGES, start=1):
            on_stage(stage)
            time.sleep(max(0.0, started + self._seconds * number / len(RENDER_STAGES) - time.monotonic()))
            if KILL_MARK in spec.prompt and number > len(RENDER_STAGES) // 2:
                os.kill(os.getpid(), signal.SIGKILL)
        if self._broken:
            raise BadOutput("all frames are black; the renderer was started as `fixed:SECONDS:broken`")
        picture.seconds = {str(Stage.DENOISE): round(time.monotonic() - started, 6)}
        log.info("card.drawn")  # shows tests that a render came to its end, whatever becomes of the attempt
        return picture

    def prepare(self, spec: RenderSpec) -> None:
        """Do nothing: a test card needs no text."""

    def canary(self) -> None:
        """Do nothing: there is nothing to break."""

    def describe(self) -> Mapping[str, Any]:
        """Return that no model rendered."""
        return {"renderer": f"{FIXED}{self._seconds:g}{BROKEN * self._broken}", "model_hash": "none"}


def _moving_band(spec: RenderSpec) -> NDArray[np.uint8]:
    rows = np.arange(spec.height, dtype=np.int64)[:, None]
    columns = np.arange(spec.width, dtype=np.int64)[None, :]
    planes = np.full((spec.frames, spec.height * 3 // 2, spec.width), NO_COLOUR, dtype=np.uint8)
    luma = planes[:, : spec.height]
    luma[:] = BLACK + (rows + columns) * 110 // (spec.height + spec.width)
    for index in range(spec.frames):
        top = index * 4 % spec.height
        luma[index, top : top + 8] = 218
    return planes
