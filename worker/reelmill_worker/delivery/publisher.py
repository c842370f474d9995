"""Publishes one clip: writes its files, uploads them, and has the ledger accept them, or withdraws them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
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
from reelmill_common.ledger.attempts import Publication
from reelmill_common.recipe import ClipFacts, make_manifest
from reelmill_common.storage import ClipStore, StoredObject
from reelmill_common.storage.keys import ClipKeys, clip_keys
from reelmill_common.storage.visibility import VISIBLE_S
from reelmill_worker.attempt.failure import end_attempt
from reelmill_worker.attempt.lease import Lease, Leases
from reelmill_worker.delivery.clip_files import ClipFiles, ClipWriter, PendingClip, Rendering, Uploaded
from reelmill_worker.delivery.leftovers import Found, Leftovers

log = structlog.get_logger(__name__)

LOOK_S = 0.5
"""Seconds between looks at a clip that the store has taken and does not show yet."""


@dataclass(slots=True, kw_only=True)
class ClipPublisher:
    """Takes clips to the store in two steps, so that the second can wait for a store that is down.

    Attributes:
        on_end: Called when a job has ended here in a way that may let others be dispatched.
    """

    store: ClipStore
    leases: Leases
    writer: ClipWriter
    on_end: Callable[[], None]

    def write_files(self, clip: PendingClip) -> bool:
        """Write the clip's files to the spool, if that is not done; False when the attempt ended instead."""
        rendering = clip.rendering
        if rendering is None:
            return clip.files is not None
        return self._attempted(clip, lambda: self._write(clip, rendering))

    def publish(self, clip: PendingClip) -> bool:
        """Upload the clip and have the ledger accept it; False when the attempt ended instead.

        Also False while the store does not show all of it: `clip.uploaded` then says when to publish it again.

        Raises:
            StoreUnavailable, StoreRefused: The clip is unchanged; publish it again later.
        """
        files = clip.files
        if files is None:
            return self.write_files(clip) and self.publish(clip)
        return self._attempted(clip, lambda: self._store(clip, files))

    def adopt(self, lease: Lease) -> bool:
        """Publish the clip that another attempt has stored, if it is complete; False if there is none."""
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

    def give_up(self, clip: PendingClip) -> None:
        """Give back a job whose clip cannot be stored before this process ends; another worker renders it again."""
        claimed = clip.lease.claimed
        self.leases.drop(clip.lease)
        with suppress(ReelmillError):
            self.leases.ledger.attempts.release(claimed.job_id, claimed.token)
        clip.forget_files()
        self.leases.counters.ended("given_back")
        log.warning("clip.given_back", job_id=claimed.job_id, attempt=claimed.attempt)
        self.leases.logs.end(claimed, failed=False)

    def abandon(self, clip: PendingClip) -> None:
        """Drop a clip in an unknown state: its lease runs out, and another worker renders it again."""
        self.leases.drop(clip.lease)
        clip.forget_files()
        self.leases.counters.ended("lost")

    def _attempted(self, clip: PendingClip, step: Callable[[], bool]) -> bool:
        """Run a step of the delivery and return what it does; False if it failed, which ends the attempt.

        Raises:
            StoreUnavailable, StoreRefused: The store may yet take the clip: the attempt goes on.
        """
        claimed = clip.lease.claimed
        with bound_contextvars(job_id=claimed.job_id, batch=claimed.batch, row=claimed.row, attempt=claimed.attempt):
            try:
                return step()
            except (StoreUnavailable, StoreRefused):
                raise
            except Exception as err:  # noqa: BLE001 - the other half of the task boundary, on the delivery thread
                self.leftovers.withdraw(claimed, clip.keys)
                clip.forget_files()
                clip.uploaded = None
                with suppress(ReelmillError):  # then the lease runs out
                    # A full disk or a missing encoder is this worker's fault: another one may deliver the job.
                    end_attempt(self.leases, clip.lease, err, retryable=True, spent=clip.spent())
                self.on_end()
                return False

    def _write(self, clip: PendingClip, rendering: Rendering) -> bool:
        self.leases.report(clip.lease, Stage.MUX)
        clip.files = self.writer.write(clip.lease.claimed, rendering)
        clip.rendering = None  # 48.5 MB of planes for 81 frames of 832x480
        return True

    def _store(self, clip: PendingClip, files: ClipFiles) -> bool:
        """Upload the clip if it is not stored yet, and finish it; False while the store does not show all of it."""
        self.leases.report(clip.lease, Stage.UPLOAD)
        try:
            result = clip.uploaded.result if clip.uploaded else self._upload(clip, files)
        except ClipExists:
            if not self._adopt_equal(clip, files):
                raise
            return True
        if not self._is_shown(clip):
            return False
        self._finish(clip, result)
        return True

    def _upload(self, clip: PendingClip, files: ClipFiles) -> Result:
        started = time.monotonic()
        keys = _keys(clip.lease.claimed)
        self.leases.confirm(clip.lease, within_s=self.leases.lease_s)  # no other worker has the job, as far as we know
        stored = [
            self._put(clip, keys.video, files.video, "video/mp4"),
            self._put(clip, keys.poster, files.poster, "image/jpeg"),
        ]
        if files.preview is not None:
            stored.append(self._put(clip, keys.preview, files.preview, "image/webp"))
        # The next attempt at the job looks for manifests: none comes after that look, however long we were cut off.
        self.leases.confirm(clip.lease)
        spent = clip.spent()
        result = Result(
            key=keys.video,
            sha256=files.sha256,
            size_bytes=files.video_bytes,
            latents_sha256=files.latents_sha256,
            seconds={**files.seconds, str(Stage.UPLOAD): round(time.monotonic() - started, 4)},
            gpu_s=spent.gpu_s,
            energy_j=spent.energy_j,
        )
        facts = ClipFacts(
            key=result.key,
            sha256=result.sha256,
            size_bytes=result.size_bytes,
            latents_sha256=result.latents_sha256,
            marks=files.marks,
        )
        manifest = make_manifest(
            files.recipe,
            clip=facts,
            seconds=result.seconds,
            gpu_s=spent.gpu_s,
            energy_j=spent.energy_j,
            submitted_s=clip.lease.claimed.submitted_s,
            metadata=clip.lease.claimed.metadata,
        )
        # The attempt that put the video owns the keys: an older manifest there is ours, from a put that was cut off.
        stored.append(self._put(clip, keys.manifest, manifest, "application/json", replace=True))
        clip.uploaded = Uploaded(result=result, objects=stored, give_up_at=time.monotonic() + VISIBLE_S)
        return result

    def _is_shown(self, clip: PendingClip) -> bool:
        """Whether the store shows every object of a clip: it may answer 200 and keep nothing, or show it late.

        Raises:
            StoreUnavailable: The objects are overdue; they are put again.
        """
        uploaded = clip.uploaded
        missing = self.store.missing(uploaded.objects) if uploaded else []
        if uploaded is None or not missing:
            return True
        now = time.monotonic()
        if now < uploaded.give_up_at:
            uploaded.look_at = now + LOOK_S
            return False
        clip.uploaded = None
        raise StoreUnavailable(
            f"the store answered that it took {', '.join(item.key for item in missing)}, and does not show "
            f"{'it' if len(missing) == 1 else 'them'} {VISIBLE_S:.0f} s later; stored again until it does"
        )

    def _put(
        self, clip: PendingClip, key: str, source: Path | bytes, content_type: str, *, replace: bool = False
    ) -> StoredObject:
        clip.keys.add(key)
        try:
            return self.store.put(key, source, content_type=content_type, replace=replace)
        except ClipExists:
            clip.keys.discard(key)  # what is there belongs to another attempt
            raise

    def _finish(self, clip: PendingClip, result: Result) -> None:
        claimed, ledger = clip.lease.claimed, self.leases.ledger
        self.leftovers.clear(claimed)
        index = self.writer.settings.reuse_index == "on"
        done = self.leases.insist(lambda: ledger.attempts.finish(claimed.job_id, claimed.token, result, index=index))
        if not done:
            raise AttemptLost(f"attempt {claimed.attempt} at job {claimed.job_id} came too late to be published")
        self.leases.drop(clip.lease)
        clip.forget_files()
        self.leases.counters.took({stage: result.seconds[stage] for stage in DELIVERY_STAGES})
        self.leases.counters.ended("stored")
        log.info("clip.rendered", key=result.key, size_bytes=result.size_bytes, seconds=dict(result.seconds))
        self.leases.logs.end(claimed, failed=False)
        if done is Publication.DONE_AND_MAKES_ROOM:
            self.on_end()

    def _adopt_equal(self, clip: PendingClip, files: ClipFiles) -> bool:
        """Publish the clip under this attempt's keys, if it equals the one that the attempt rendered."""
        self.leases.confirm(clip.lease)
        found = self.leftovers.equal(clip.lease.claimed, files.recipe)
        if found is None or not self._accept(clip.lease, found):
            return False
        clip.forget_files()
        return True

    def _accept(self, lease: Lease, found: Found) -> bool:
        """Have the ledger accept another attempt's clip; False if that one withdraws it, or this one lost its lease."""
        claimed, ledger = lease.claimed, self.leases.ledger
        self.leftovers.clear(claimed, keep=found.result.key)
        index = self.writer.settings.reuse_index == "on"
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


def _keys(claimed: Claimed) -> ClipKeys:
    """Return the keys of an attempt."""
    return clip_keys(claimed.batch, claimed.row, attempt=claimed.attempt)
