"""A render on its way to the store: frames first, then files in the spool."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reelmill_common.errors import ReelmillError, RenderFailed
from reelmill_common.jobs import Stage
from reelmill_common.ledger import Claimed, Result, Spent
from reelmill_common.ledger.records import NOTHING
from reelmill_common.provenance.claim import shown
from reelmill_common.recipe import JobOrigin, MarkFacts, Recipe
from reelmill_common.settings import Settings
from reelmill_common.storage import StoredObject
from reelmill_worker.attempt.lease import Lease
from reelmill_worker.delivery import stills
from reelmill_worker.delivery import video as media
from reelmill_worker.delivery.encoders import encoder_of
from reelmill_worker.delivery.marks import ClipMarker
from reelmill_worker.pipeline.checkpoint.manifest import file_sha256

if TYPE_CHECKING:
    from reelmill_worker.pipeline.network.plan import RenderPlan


class Rendering(Protocol):
    """A finished render, before it is a file."""

    @property
    def planes(self) -> NDArray[np.uint8]:
        """YUV 4:2:0, (frames, height * 3 / 2, width), BT.709, limited range: see `pipeline.yuv`."""
        ...

    @property
    def latents_sha256(self) -> str:
        """Hash of the final latents."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage."""
        ...

    @property
    def plan(self) -> RenderPlan | None:
        """How a model rendered it: after a fallback not the renderer's usual plan."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFiles:
    """A clip as files in the spool.

    Attributes:
        folder: Folder that holds only them.
        size_bytes: Disk that they take.
        sha256: Hash of the MP4, as it is signed.
        video_bytes: Size of the MP4.
        recipe: Recipe in its tags and, later, in its manifest.
        marks: What was done to mark it.
        seconds: Seconds by stage so far.
    """

    folder: Path
    size_bytes: int
    sha256: str
    video_bytes: int
    recipe: Recipe
    marks: MarkFacts
    latents_sha256: str
    has_preview: bool
    seconds: Mapping[str, float]

    @property
    def video(self) -> Path:
        """The MP4."""
        return self.folder / "clip.mp4"

    @property
    def poster(self) -> Path:
        """A frame from the middle as JPEG."""
        return self.folder / "poster.jpg"

    @property
    def preview(self) -> Path | None:
        """The moving preview, if the settings ask for one."""
        return self.folder / "preview.webp" if self.has_preview else None


@dataclass(slots=True, kw_only=True)
class Uploaded:
    """A clip that the store has taken, object by object.

    Attributes:
        look_at: When (monotonic) to look next whether the store shows all of it; 0: at once.
        give_up_at: When (monotonic) to believe that it does not.
    """

    result: Result
    objects: Sequence[StoredObject]
    give_up_at: float
    look_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class PendingClip:
    """A render on its way to the store: frames first, files once they are written.

    Attributes:
        spent: Returns what its render took of the GPU.
        keys: Objects that are, or may be, in the store because of it: a put whose answer was lost counts.
        uploaded: The result to report to the ledger once the store shows every object.
    """

    lease: Lease
    rendering: Rendering | None
    files: ClipFiles | None = None
    spent: Callable[[], Spent] = lambda: NOTHING
    keys: set[str] = field(default_factory=set[str])
    uploaded: Uploaded | None = None

    @property
    def size_bytes(self) -> int:
        """Disk that it takes."""
        return self.files.size_bytes if self.files else 0

    def forget_files(self) -> None:
        """Drop the frames and delete the files."""
        self.rendering = None
        if self.files is not None:
            shutil.rmtree(self.files.folder, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipWriter:
    """Writes renders as files.

    Attributes:
        renderer: The renderer's description; goes into every recipe.
        marker: Signs the MP4.
        spool: Folder of this process for files on their way.
    """

    settings: Settings
    renderer: Mapping[str, Any]
    worker: str
    spool: Path
    marker: ClipMarker

    def write(self, claimed: Claimed, rendering: Rendering) -> ClipFiles:
        """Write MP4, poster and, if it is wanted, preview. A failure leaves none of them.

        Raises:
            InvalidSettings: The encoder is unknown here, or refuses its options.
            RenderFailed: The encoder or the disk failed.
            NotSigned: The clip cannot be signed, and the settings require it.
        """
        folder = self.spool / f"{claimed.job_id}.{claimed.token}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return self._write(folder, claimed, rendering)
        except BaseException as err:
            shutil.rmtree(folder, ignore_errors=True)  # half a clip would keep a full disk full
            if isinstance(err, OSError) and not isinstance(err, ReelmillError):
                raise RenderFailed(f"{folder} cannot be written: {err}; look at the disk of the spool folder") from err
            raise

    def _write(self, folder: Path, claimed: Claimed, rendering: Rendering) -> ClipFiles:
        started = time.monotonic()
        video = folder / "clip.mp4"
        recipe = self._recipe(claimed, rendering)
        planes, fps, system = rendering.planes, claimed.spec.fps, claimed.spec.profile
        document = shown(recipe.document(), self.settings.provenance_prompt)
        write_video(planes, video, fps=fps, recipe=document, settings=self.settings)
        marks = self.marker.mark(video, planes, document)
        stills.write_poster(planes[len(planes) // 2], folder / "poster.jpg", system=system)  # many open on a fade
        has_preview = self.settings.preview == "webp"
        if has_preview:
            stills.write_preview(planes, folder / "preview.webp", fps=fps, system=system)
        return ClipFiles(
            folder=folder,
            size_bytes=sum(file.stat().st_size for file in folder.iterdir()),
            sha256=file_sha256(video),
            video_bytes=video.stat().st_size,
            recipe=recipe,
            marks=marks,
            latents_sha256=rendering.latents_sha256,
            has_preview=has_preview,
            seconds={**rendering.seconds, str(Stage.MUX): round(time.monotonic() - started, 4)},
        )

    def _recipe(self, claimed: Claimed, rendering: Rendering) -> Recipe:
        job = JobOrigin(
            job_id=claimed.job_id,
            batch=claimed.batch,
            row=claimed.row,
            attempt=claimed.attempt,
            claim=claimed.word,  # with it two files are equal only if one attempt wrote both
            farm=self.settings.farm,
            worker=self.worker,
        )
        return Recipe(
            job=job,
            spec=claimed.spec,
            renderer=self.renderer["renderer"],
            model_hash=self.renderer["model_hash"],
            plan=rendering.plan.describe() if rendering.plan else self.renderer.get("plan"),
            versions=self.renderer.get("versions"),
            encoder=encoder_of(self.settings).describe(),
            latents_sha256=rendering.latents_sha256,
        )


def write_video(
    planes: NDArray[np.uint8], path: Path, *, fps: int, recipe: Mapping[str, Any], settings: Settings
) -> None:
    """Write planes as an MP4 as the settings say.

    Raises:
        InvalidSettings: The encoder is unknown here, or refuses its options.
        RenderFailed: The encoder or the disk failed.
    """
    media.write_clip(planes, path, fps=fps, recipe=recipe, encoder=encoder_of(settings))
