"""One clip's way from frames to the ledger's word that it is stored: mux, upload, finish, or withdraw."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from structlog.contextvars import bound_contextvars

from reelmill_common.errors import (
    AttemptLost,
    ClipExists,
    NotFound,
    ReelmillError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from reelmill_common.jobs import DELIVERY_STAGES, JobState, Stage
from reelmill_common.ledger import Claimed, Ledger, Result
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import ClipKeys, clip_keys
from reelmill_worker.attempt.ending import end_attempt
from reelmill_worker.attempt.lease import Leases
from reelmill_worker.delivery.parcel import Packed, Packer, Parcel
from reelmill_worker.pipeline.recipe import is_leftover, make_manifest

log = structlog.get_logger(__name__)

MOST_MANIFEST_BYTES = 1_000_000
"""Of a manifest that is read; ours have 3 kB."""


@dataclass(slots=True, kw_only=True)
class Courier:
    """Takes parcels to the store, one call per leg, so that a leg can wait for a store that is down.

    Attributes:
        on_end: Called when a job has ended here: the broker may have room for another.
    """

    store: ClipStore
    leases: Leases
    packer: Packer
    on_end: Callable[[], None]

    def pack(self, parcel: Parcel) -> bool:
        """Write the clip's files to the spool, if that is not done; False when the attempt ended instead."""
        rendering = parcel.rendering
        if rendering is None:
            return parcel.packed is not None
        with self._ending(parcel) as leg:
            self.leases.report(parcel.lease, Stage.MUX)
            parcel.packed = self.packer.pack(parcel.lease.claimed, rendering)
            parcel.rendering = None  # 48.5 MB of planes for 81 frames of 832x480
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
            result = self._upload(parcel, packed)
            self._finish(parcel, result)
            leg.went_well = True
        return leg.went_well

    def give_up(self, parcel: Parcel) -> None:
        """Give a job back that cannot be stored before this process ends; somebody else renders it again."""
        claimed = parcel.lease.claimed
        self.leases.drop(parcel.lease)
        with suppress(ReelmillError):
            self.leases.ledger.release(claimed.job_id, claimed.token)
        parcel.forget_files()
        self.leases.tally.ended("given_back")
        log.warning("clip.given_back", job_id=claimed.job_id, attempt=claimed.token)
        self.leases.logs.end(claimed, failed=False)

    def abandon(self, parcel: Parcel) -> None:
        """Let go of a clip of which nothing more can be told: its lease runs out, and somebody renders it again."""
        self.leases.drop(parcel.lease)
        parcel.forget_files()
        self.leases.tally.ended("lost")

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
                self._withdraw(parcel)
                parcel.forget_files()
                with suppress(ReelmillError):  # then the lease runs out
                    # A full disk or a missing encoder is this worker's fault: another one may deliver the job.
                    end_attempt(self.leases, parcel.lease, err, retryable=True, spent=parcel.spent())
                self.on_end()

    def _upload(self, parcel: Parcel, packed: Packed) -> Result:
        started = time.monotonic()
        keys = _keys(parcel.lease.claimed)
        self._put(parcel, keys.video, packed.video, "video/mp4")
        self._put(parcel, keys.poster, packed.poster, "image/jpeg")
        if packed.preview is not None:
            self._put(parcel, keys.preview, packed.preview, "image/webp")
        parcel.lease.check()
        spent = parcel.spent()
        result = Result(
            key=keys.video,
            sha256=packed.sha256,
            size_bytes=packed.video_bytes,
            latents_sha256=packed.latents_sha256,
            seconds={**packed.seconds, str(Stage.UPLOAD): round(time.monotonic() - started, 4)},
            gpu_s=spent.gpu_s,
            energy_j=spent.energy_j,
        )
        clip = {name: getattr(result, name) for name in ("key", "sha256", "size_bytes", "latents_sha256")}
        manifest = make_manifest(
            packed.recipe,
            clip=clip,
            seconds=result.seconds,
            spent=asdict(spent),
            submitted_s=parcel.lease.claimed.submitted_s,
            metadata=parcel.lease.claimed.metadata,
        )
        # The key is this attempt's own, so an older manifest there is this very attempt's, from a put that was cut off.
        self._put(parcel, keys.manifest, manifest, "application/json", replace=True)
        return result

    def _put(self, parcel: Parcel, key: str, source: Path | bytes, content_type: str, *, replace: bool = False) -> None:
        parcel.keys.add(key)
        try:
            self.store.put(key, source, content_type=content_type, replace=replace)
        except ClipExists:
            parcel.keys.discard(key)  # what is there is somebody else's
            raise

    def _finish(self, parcel: Parcel, result: Result) -> None:
        claimed, ledger = parcel.lease.claimed, self.leases.ledger
        for token in range(claimed.foreign + 1, claimed.token):
            self._clear(claimed, token)
        index = self.packer.settings.reuse_index == "on"
        if not self.leases.insist(lambda: ledger.finish(claimed.job_id, claimed.token, result, index=index)):
            raise AttemptLost(f"attempt {claimed.token} at job {claimed.job_id} came too late to be published")
        self.leases.drop(parcel.lease)
        parcel.forget_files()
        self.leases.tally.took({stage: result.seconds[stage] for stage in DELIVERY_STAGES})
        self.leases.tally.ended("stored")
        log.info("clip.rendered", key=result.key, size_bytes=result.size_bytes, seconds=dict(result.seconds))
        self.leases.logs.end(claimed, failed=False)
        self.on_end()

    def _clear(self, claimed: Claimed, token: int) -> None:
        """Remove what an earlier attempt stored: it was not accepted, or there would be no later one.

        Its keys may be those of a clip that this ledger does not know: of the same row before its batch was pruned,
        or of another farm on this store. So what has a manifest is removed only if that was written for this job.
        """
        keys = _keys(claimed, token)
        try:
            manifest = self.store.get(keys.manifest, most_bytes=MOST_MANIFEST_BYTES)
        except NotFound:
            manifest = b""
        except StoreError as err:
            log.warning("clip.left_behind", keys=[keys.manifest], error=str(err))
            return
        if not manifest or is_leftover(manifest, job_id=claimed.job_id, submitted_s=claimed.submitted_s):
            self._remove(_all(keys))

    def _withdraw(self, parcel: Parcel) -> None:
        """Remove what a losing attempt stored, unless its finish was accepted after all."""
        claimed = parcel.lease.claimed
        try:
            if parcel.keys and not _is_ours(self.leases.ledger, claimed):
                self._remove(parcel.keys)
        except ReelmillError as err:  # an object too many is no harm: nothing points at it
            log.warning("clip.left_behind", keys=sorted(parcel.keys), error=str(err))

    def _remove(self, keys: Collection[str]) -> None:
        """Remove objects, the manifest first: without it nobody takes the others for a clip."""
        try:
            for key in sorted(keys, key=lambda key: not key.endswith(".json")):
                self.store.delete(key)
        except StoreError as err:
            log.warning("clip.left_behind", keys=sorted(keys), error=str(err))


@dataclass(slots=True)
class _Leg:
    went_well: bool = False


def _keys(claimed: Claimed, token: int = 0) -> ClipKeys:
    """The keys of an attempt, by default of this one."""
    return clip_keys(claimed.batch, claimed.row, attempt=token or claimed.token)


def _all(keys: ClipKeys) -> tuple[str, ...]:
    return keys.video, keys.poster, keys.preview, keys.manifest


def _is_ours(ledger: Ledger, claimed: Claimed) -> bool:
    """Whether the ledger has this attempt's clip as the job's result."""
    try:
        view = ledger.job(claimed.job_id)
    except NotFound:
        return False
    return view.state is JobState.SUCCEEDED and view.result is not None and view.result.key == _keys(claimed).video
