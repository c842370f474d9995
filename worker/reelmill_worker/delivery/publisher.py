"""One clip's way from frames to the ledger's word that it is stored: mux, upload, finish, or withdraw."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from structlog.contextvars import bound_contextvars

from reelmill_common.errors import (
    AttemptLost,
    ClipExists,
    ReelmillError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from reelmill_common.jobs import DELIVERY_STAGES, Stage
from reelmill_common.ledger import Claimed, Result
from reelmill_common.recipe import ClipFacts, make_manifest
from reelmill_common.storage import ClipStore, StoredObject
from reelmill_common.storage.keys import ClipKeys, clip_keys
from reelmill_common.storage.visibility import VISIBLE_S
from reelmill_worker.attempt.failure import end_attempt
from reelmill_worker.attempt.lease import Lease, Leases
from reelmill_worker.delivery.clip_files import ClipFiles, ClipWriter, PendingClip, Uploaded
from reelmill_worker.delivery.leftovers import Found, Leftovers

log = structlog.get_logger(__name__)

LOOK_S = 0.5
"""Seconds between looks at a clip that the store has taken and does not show yet."""


@dataclass(slots=True, kw_only=True)
class ClipPublisher:
    """Takes parcels to the store, one call per leg, so that a leg can wait for a store that is down.

    Attributes:
        on_end: Called when a job has ended here: the broker may have room for another.
    """

    store: ClipStore
    leases: Leases
    packer: ClipWriter
    on_end: Callable[[], None]

    def pack(self, parcel: PendingClip) -> bool:
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

    def ship(self, parcel: PendingClip) -> bool:
        """Upload the clip and have the ledger accept it; False when the attempt ended instead.

        False also when the store does not show all of it yet: then `parcel.uploaded` says when to ship it again.

        Raises:
            StoreUnavailable, StoreRefused: The parcel is as it was; ship it again later.
        """
        packed = parcel.packed
        if packed is None:
            return self.pack(parcel) and self.ship(parcel)
        with self._ending(parcel) as leg:
            self.leases.report(parcel.lease, Stage.UPLOAD)
            try:
                result = parcel.uploaded.result if parcel.uploaded else self._upload(parcel, packed)
            except ClipExists:
                if not self._adopt_equal(parcel, packed):
                    raise
                leg.went_well = True
            else:
                if self._is_shown(parcel):
                    self._finish(parcel, result)
                    leg.went_well = True
        return leg.went_well

    def adopt(self, lease: Lease) -> bool:
        """Publish what another attempt at the job has stored, if it is whole; False if there is nothing to adopt."""
        if not self.leftovers.are_likely(lease.claimed):
            return False
        try:
            found = self.leftovers.stored(lease.claimed)
        except StoreError as err:  # then it is rendered again
            log.warning("clip.not_adopted", error=str(err))
            return False
        return found is not None and self._accept(lease, found)

    @property
    def leftovers(self) -> Leftovers:
        """What other attempts left in the store."""
        return Leftovers(store=self.store, ledger=self.leases.ledger)

    def give_up(self, parcel: PendingClip) -> None:
        """Give a job back that cannot be stored before this process ends; somebody else renders it again."""
        claimed = parcel.lease.claimed
        self.leases.drop(parcel.lease)
        with suppress(ReelmillError):
            self.leases.ledger.attempts.release(claimed.job_id, claimed.token)
        parcel.forget_files()
        self.leases.counters.ended("given_back")
        log.warning("clip.given_back", job_id=claimed.job_id, attempt=claimed.attempt)
        self.leases.logs.end(claimed, failed=False)

    def abandon(self, parcel: PendingClip) -> None:
        """Let go of a clip of which nothing more can be told: its lease runs out, and somebody renders it again."""
        self.leases.drop(parcel.lease)
        parcel.forget_files()
        self.leases.counters.ended("lost")

    @contextmanager
    def _ending(self, parcel: PendingClip) -> Generator[_Leg]:
        """End the attempt on any error but a store that may yet take the clip."""
        claimed, leg = parcel.lease.claimed, _Leg()
        with bound_contextvars(job_id=claimed.job_id, batch=claimed.batch, row=claimed.row, attempt=claimed.attempt):
            try:
                yield leg
            except (StoreUnavailable, StoreRefused):
                raise
            except Exception as err:  # noqa: BLE001 - the other half of the task boundary, on the delivery thread
                self.leftovers.withdraw(claimed, parcel.keys)
                parcel.forget_files()
                parcel.uploaded = None
                with suppress(ReelmillError):  # then the lease runs out
                    # A full disk or a missing encoder is this worker's fault: another one may deliver the job.
                    end_attempt(self.leases, parcel.lease, err, retryable=True, spent=parcel.spent())
                self.on_end()

    def _upload(self, parcel: PendingClip, packed: ClipFiles) -> Result:
        started = time.monotonic()
        keys = _keys(parcel.lease.claimed)
        self.leases.confirm(parcel.lease, within_s=self.leases.lease_s)  # nobody else has the job, as far as we know
        stored = [
            self._put(parcel, keys.video, packed.video, "video/mp4"),
            self._put(parcel, keys.poster, packed.poster, "image/jpeg"),
        ]
        if packed.preview is not None:
            stored.append(self._put(parcel, keys.preview, packed.preview, "image/webp"))
        # Whoever is next at the job looks for manifests: none comes after that look, however long we were cut off.
        self.leases.confirm(parcel.lease)
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
        clip = ClipFacts(
            key=result.key,
            sha256=result.sha256,
            size_bytes=result.size_bytes,
            latents_sha256=result.latents_sha256,
        )
        manifest = make_manifest(
            packed.recipe,
            clip=clip,
            seconds=result.seconds,
            gpu_s=spent.gpu_s,
            energy_j=spent.energy_j,
            submitted_s=parcel.lease.claimed.submitted_s,
            metadata=parcel.lease.claimed.metadata,
        )
        # Whoever has put the video has the keys: an older manifest there is ours, from a put that was cut off.
        stored.append(self._put(parcel, keys.manifest, manifest, "application/json", replace=True))
        parcel.uploaded = Uploaded(result=result, objects=stored, give_up_at=time.monotonic() + VISIBLE_S)
        return result

    def _is_shown(self, parcel: PendingClip) -> bool:
        """Whether the store shows all that it took of a clip: a store may answer 200 and keep nothing, or show it late.

        Raises:
            StoreUnavailable: It has had time enough; what is there is put again.
        """
        uploaded = parcel.uploaded
        missing = self.store.missing(uploaded.objects) if uploaded else []
        if uploaded is None or not missing:
            return True
        now = time.monotonic()
        if now < uploaded.give_up_at:
            uploaded.look_at = now + LOOK_S
            return False
        parcel.uploaded = None
        raise StoreUnavailable(
            f"the store answered that it took {', '.join(item.key for item in missing)}, and does not show "
            f"{'it' if len(missing) == 1 else 'them'} {VISIBLE_S:.0f} s later; stored again until it does"
        )

    def _put(
        self, parcel: PendingClip, key: str, source: Path | bytes, content_type: str, *, replace: bool = False
    ) -> StoredObject:
        parcel.keys.add(key)
        try:
            return self.store.put(key, source, content_type=content_type, replace=replace)
        except ClipExists:
            parcel.keys.discard(key)  # what is there is somebody else's
            raise

    def _finish(self, parcel: PendingClip, result: Result) -> None:
        claimed, ledger = parcel.lease.claimed, self.leases.ledger
        self.leftovers.clear(claimed)
        index = self.packer.settings.reuse_index == "on"
        if not self.leases.insist(lambda: ledger.attempts.finish(claimed.job_id, claimed.token, result, index=index)):
            raise AttemptLost(f"attempt {claimed.attempt} at job {claimed.job_id} came too late to be published")
        self.leases.drop(parcel.lease)
        parcel.forget_files()
        self.leases.counters.took({stage: result.seconds[stage] for stage in DELIVERY_STAGES})
        self.leases.counters.ended("stored")
        log.info("clip.rendered", key=result.key, size_bytes=result.size_bytes, seconds=dict(result.seconds))
        self.leases.logs.end(claimed, failed=False)
        self.on_end()

    def _adopt_equal(self, parcel: PendingClip, packed: ClipFiles) -> bool:
        """Publish the clip that lies under this attempt's keys, if it is what the attempt would have put there."""
        self.leases.confirm(parcel.lease)
        found = self.leftovers.equal(parcel.lease.claimed, packed.recipe)
        if found is None or not self._accept(parcel.lease, found):
            return False
        parcel.forget_files()
        return True

    def _accept(self, lease: Lease, found: Found) -> bool:
        """Have the ledger accept another attempt's clip; False if that takes it back, or this one lost its lease."""
        claimed, ledger = lease.claimed, self.leases.ledger
        self.leftovers.clear(claimed, keep=found.result.key)
        index = self.packer.settings.reuse_index == "on"
        if not self.leases.insist(
            lambda: ledger.attempts.finish(claimed.job_id, claimed.token, found.result, index=index, adopted=found.word)
        ):
            return False
        self.leases.drop(lease)
        self.leases.counters.ended("stored")
        log.info("clip.adopted", key=found.result.key, size_bytes=found.result.size_bytes)
        self.leases.logs.end(claimed, failed=False)
        self.on_end()
        return True


@dataclass(slots=True)
class _Leg:
    went_well: bool = False


def _keys(claimed: Claimed) -> ClipKeys:
    """The keys of an attempt."""
    return clip_keys(claimed.batch, claimed.row, attempt=claimed.attempt)
