"""One clip's way from frames to the ledger's word that it is stored: mux, upload, finish, or withdraw."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from structlog.contextvars import bound_contextvars

from reelmill_common.errors import AttemptLost, NotFound, ReelmillError, StoreError, StoreRefused, StoreUnavailable
from reelmill_common.jobs import JobState, Stage
from reelmill_common.ledger import Claimed, Ledger, Result
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import ClipKeys, clip_keys
from reelmill_worker import media
from reelmill_worker.ending import end_attempt
from reelmill_worker.lease import Lease, Leases
from reelmill_worker.pipeline.recipe import make_manifest, make_recipe
from reelmill_worker.renderer import Rendering

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A clip as files in the spool.

    Attributes:
        folder: Holds them, and nothing else.
        size_bytes: Disk that they take.
        sha256: Hash of the MP4.
        video_bytes: Size of the MP4.
        recipe: What is in its tags and will be in its manifest.
        seconds: Seconds by stage so far.
    """

    folder: Path
    size_bytes: int
    sha256: str
    video_bytes: int
    recipe: Mapping[str, Any]
    latents_sha256: str
    seconds: Mapping[str, float]

    @property
    def video(self) -> Path:
        """The MP4."""
        return self.folder / "clip.mp4"

    @property
    def poster(self) -> Path:
        """The first frame as JPEG."""
        return self.folder / "poster.jpg"


@dataclass(slots=True, kw_only=True)
class Parcel:
    """A render on its way to the store: frames until it is packed, files from then on."""

    lease: Lease
    rendering: Rendering | None
    packed: Packed | None = None

    @property
    def size_bytes(self) -> int:
        """Disk that it takes."""
        return self.packed.size_bytes if self.packed else 0


@dataclass(slots=True, kw_only=True)
class Courier:
    """Takes parcels to the store, one call per leg, so that a leg can wait for a store that is down.

    Attributes:
        renderer: What the renderer says of itself; goes into every recipe.
        spool: Folder of this process for files on their way.
        on_end: Called when a job has ended here: the broker may have room for another.
    """

    store: ClipStore
    leases: Leases
    settings: Settings
    renderer: Mapping[str, Any]
    worker: str
    spool: Path
    on_end: Callable[[], None]

    def pack(self, parcel: Parcel) -> bool:
        """Write the clip's files to the spool, if that is not done; False when the attempt ended instead."""
        rendering = parcel.rendering
        if rendering is None:
            return parcel.packed is not None
        with self._ending(parcel) as leg:
            self.leases.report(parcel.lease, Stage.MUX)
            parcel.packed = self._write_files(parcel.lease.claimed, rendering)
            parcel.rendering = None  # 97 MB of RGB for 81 frames of 832x480
            leg.went_well = True
        return leg.went_well

    def ship(self, parcel: Parcel) -> bool:
        """Upload the clip and have the ledger accept it; False when the attempt ended instead.

        Raises:
            StoreUnavailable, StoreRefused: The parcel is as it was; ship it again later.
        """
        packed = parcel.packed
        if packed is None:
            return self.pack(parcel) and self.ship(parcel)
        with self._ending(parcel) as leg:
            self.leases.report(parcel.lease, Stage.UPLOAD)
            result = self._upload(parcel.lease, packed)
            self._finish(parcel, result)
            leg.went_well = True
        return leg.went_well

    def give_up(self, parcel: Parcel) -> None:
        """Give a job back that cannot be stored before this process ends; somebody else renders it again."""
        claimed = parcel.lease.claimed
        self.leases.drop(parcel.lease)
        with suppress(ReelmillError):
            self.leases.ledger.release(claimed.job_id, claimed.token)
        self._forget_files(parcel)
        log.warning("clip.given_back", job_id=claimed.job_id, attempt=claimed.token)

    @contextmanager
    def _ending(self, parcel: Parcel) -> Generator[_Leg]:
        """End the attempt on any error but a store that may yet take the clip."""
        claimed, leg = parcel.lease.claimed, _Leg()
        with bound_contextvars(job_id=claimed.job_id, batch=claimed.batch, row=claimed.row, attempt=claimed.token):
            try:
                yield leg
            except (StoreUnavailable, StoreRefused):
                raise
            except Exception as err:  # noqa: BLE001 - the other half of the task boundary, on the delivery thread
                self._withdraw(claimed)
                self._forget_files(parcel)
                with suppress(ReelmillError):  # then the lease runs out
                    # A full disk or a missing encoder is this worker's fault: another one may deliver the job.
                    end_attempt(self.leases, parcel.lease, err, retryable=parcel.packed is None)
                self.on_end()

    def _write_files(self, claimed: Claimed, rendering: Rendering) -> Packed:
        started = time.monotonic()
        folder = self.spool / f"{claimed.job_id}.{claimed.token}"
        folder.mkdir(parents=True, exist_ok=True)
        video, poster = folder / "clip.mp4", folder / "poster.jpg"
        renderer = {**self.renderer, **({"plan": rendering.plan.describe()} if rendering.plan else {})}
        recipe = make_recipe(claimed.spec, job=self._whose(claimed), renderer=renderer)
        write_video(rendering.frames, video, fps=claimed.spec.fps, recipe=recipe, settings=self.settings)
        media.write_poster(rendering.frames[len(rendering.frames) // 2], poster)  # many clips open on a fade
        video_bytes = video.stat().st_size
        return Packed(
            folder=folder,
            size_bytes=video_bytes + poster.stat().st_size,
            sha256=_sha256(video),
            video_bytes=video_bytes,
            recipe=recipe,
            latents_sha256=rendering.latents_sha256,
            seconds={**rendering.seconds, "mux": round(time.monotonic() - started, 4)},
        )

    def _whose(self, claimed: Claimed) -> dict[str, Any]:
        return {
            "job_id": claimed.job_id,
            "batch": claimed.batch,
            "row": claimed.row,
            "attempt": claimed.token,
            "worker": self.worker,
        }

    def _upload(self, lease: Lease, packed: Packed) -> Result:
        started = time.monotonic()
        keys = _keys(lease.claimed)
        self.store.put(keys.video, packed.video, content_type="video/mp4")
        self.store.put(keys.poster, packed.poster, content_type="image/jpeg")
        lease.check()
        result = Result(
            key=keys.video,
            sha256=packed.sha256,
            size_bytes=packed.video_bytes,
            latents_sha256=packed.latents_sha256,
            seconds={**packed.seconds, "upload": round(time.monotonic() - started, 4)},
        )
        clip = {name: getattr(result, name) for name in ("key", "sha256", "size_bytes", "latents_sha256")}
        manifest = make_manifest(packed.recipe, clip=clip, seconds=result.seconds)
        # The key is this attempt's own, so an older manifest there is this very attempt's, from a put that was cut off.
        self.store.put(keys.manifest, manifest, content_type="application/json", replace=True)
        return result

    def _finish(self, parcel: Parcel, result: Result) -> None:
        claimed, ledger = parcel.lease.claimed, self.leases.ledger
        if not self.leases.insist(lambda: ledger.finish(claimed.job_id, claimed.token, result)):
            raise AttemptLost(f"attempt {claimed.token} at job {claimed.job_id} came too late to be published")
        self.leases.drop(parcel.lease)
        self._forget_files(parcel)
        log.info("clip.rendered", key=result.key, size_bytes=result.size_bytes, seconds=dict(result.seconds))
        for token in range(1, claimed.token):
            self._remove(clip_keys(claimed.batch, claimed.row, attempt=token))
        self.on_end()

    def _withdraw(self, claimed: Claimed) -> None:
        """Remove what a losing attempt stored, unless its finish was accepted after all."""
        keys = _keys(claimed)
        try:
            if not _is_ours(self.leases.ledger, claimed, keys):
                self._remove(keys)
        except ReelmillError as err:  # an object too many is no harm: nothing points at it
            log.warning("clip.left_behind", key=keys.video, error=str(err))

    def _remove(self, keys: ClipKeys) -> None:
        """Remove an attempt's objects, the manifest first: without it nobody takes the others for a clip."""
        try:
            for key in (keys.manifest, keys.poster, keys.video):
                self.store.delete(key)
        except StoreError as err:
            log.warning("clip.left_behind", key=keys.video, error=str(err))

    def _forget_files(self, parcel: Parcel) -> None:
        parcel.rendering = None
        if parcel.packed is not None:
            shutil.rmtree(parcel.packed.folder, ignore_errors=True)


@dataclass(slots=True)
class _Leg:
    went_well: bool = False


def write_video(
    frames: NDArray[np.uint8], path: Path, *, fps: int, recipe: Mapping[str, Any], settings: Settings
) -> None:
    """Write an MP4 as the settings say.

    Raises:
        InvalidSettings: The encoder is unknown here, or refuses its options.
        RenderFailed: The encoder or the disk failed.
    """
    media.write_clip(
        frames,
        path,
        fps=fps,
        recipe=recipe,
        codec=settings.video_codec,
        preset=settings.video_preset,
        crf=settings.video_crf,
        threads=settings.video_threads,
    )


def _keys(claimed: Claimed) -> ClipKeys:
    return clip_keys(claimed.batch, claimed.row, attempt=claimed.token)


def _is_ours(ledger: Ledger, claimed: Claimed, keys: ClipKeys) -> bool:
    """Whether the ledger has this attempt's clip as the job's result."""
    try:
        view = ledger.job(claimed.job_id)
    except NotFound:
        return False
    return view.state is JobState.SUCCEEDED and view.result is not None and view.result.key == keys.video


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
