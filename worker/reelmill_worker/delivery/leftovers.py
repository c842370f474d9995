"""What other attempts at a job left in the store: adopted where it is the clip that was asked for, else removed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from reelmill_common.errors import InvalidDocument, NotFound, ObjectTooLarge, ReelmillError, StoreError
from reelmill_common.ledger import Claimed, Ledger, Result
from reelmill_common.recipe import Manifest, Recipe, is_leftover, origin_of, read_manifest
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import ClipKeys, clip_keys
from reelmill_common.text.untrusted_json import MOST_BYTES

log = structlog.get_logger(__name__)

LOOKED_BACK = 3
"""Attempts before this one whose keys are looked at although clips of another farm or life may lie there."""
UNSURE_S = 600.0
"""Seconds after the server of the ledger was started, or promoted, in which a claim asks the store what is there: the
server may have forgotten attempts that came after, and their numbers."""
_OBJECT = re.compile(r"(a(?P<number>[1-9][0-9]{0,5})\.)?(mp4|jpg|webp|json)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A complete clip of another attempt, and the word of its claim; empty if an old version made it."""

    result: Result
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Looks at the keys of a job's attempts. The manifest is put last, so what has one was complete.

    A manifest may lie under keys of ours from a clip that this ledger does not know: of the same row before its batch
    was pruned or the ledger wiped, or of another farm on this store. Nothing of such a clip is touched.
    """

    store: ClipStore
    ledger: Ledger

    def are_likely(self, claimed: Claimed) -> bool:
        """Whether other attempts may have stored something: earlier ones, or some that the ledger has forgotten."""
        return claimed.attempt > 1 or claimed.steady_s < UNSURE_S

    def stored(self, claimed: Claimed) -> Found | None:
        """Return the clip that another attempt in this life of a job stored without the ledger knowing its end."""
        for number in sorted(self._numbers(claimed), reverse=True):
            found = self._clip(clip_keys(claimed.batch, claimed.row, attempt=number), lambda _: False, claimed)
            if found is not None:
                return found
        return None

    def equal(self, claimed: Claimed, recipe: Recipe) -> Found | None:
        """Return the clip under an attempt's own keys, if it can stand for the one that the attempt has rendered.

        Two attempts have the same number when the ledger forgot the first one, or that the job was submitted. In the
        same life of the job any clip will do, in another one only one of this farm with equal latents, encoded alike.
        """
        keys = clip_keys(claimed.batch, claimed.row, attempt=claimed.attempt)
        return self._clip(keys, lambda manifest: _is_alike(manifest, recipe), claimed)

    def clear(self, claimed: Claimed, *, keep: str = "") -> None:
        """Remove what other attempts stored: the ledger accepted none of it.

        Args:
            claimed: The attempt that is about to be published.
            keep: Key of the clip that it adopted.
        """
        try:
            numbers = self._numbers(claimed) if self.are_likely(claimed) else set[int]()
            for number in numbers - ({claimed.attempt} if not keep else set[int]()):
                self._clear(claimed, number, keep)
        except StoreError as err:  # a surplus object does no harm: nothing points at it
            log.warning("clip.left_behind", error=str(err))

    def withdraw(self, claimed: Claimed, stored: Collection[str]) -> None:
        """Remove what an attempt stored, unless the ledger has it as the job's clip."""
        if stored:
            self._remove(
                claimed.job_id, clip_keys(claimed.batch, claimed.row, attempt=claimed.attempt), claimed.word, stored
            )

    def _clear(self, claimed: Claimed, number: int, keep: str) -> None:
        keys = clip_keys(claimed.batch, claimed.row, attempt=number)
        manifest = self._manifest(keys)
        ours = is_leftover(manifest, job_id=claimed.job_id, submitted_s=claimed.submitted_s)
        unfinished = not manifest and number > claimed.foreign and number != claimed.attempt
        if keys.video != keep and (ours or unfinished):
            stored = (keys.video, keys.poster, keys.preview, keys.manifest)
            self._remove(claimed.job_id, keys, _word(manifest), stored)

    def _remove(self, job_id: str, keys: ClipKeys, word: str, stored: Collection[str]) -> None:
        """Remove objects, the manifest first: without it the others do not count as a clip.

        The video goes last: the attempt that may put it owns the keys.
        """
        try:
            if self.ledger.attempts.withdraw(job_id, keys.video, word):
                for key in sorted(stored, key=lambda key: (key == keys.video, key != keys.manifest)):
                    self.store.delete(key)
        except ReelmillError as err:  # as in `clear`
            log.warning("clip.left_behind", keys=sorted(stored), error=str(err))

    def _numbers(self, claimed: Claimed) -> set[int]:
        """Return the numbers of attempts that may have left something; a listing finds the forgotten ones."""
        first = max(1, min(claimed.foreign + 1, claimed.attempt - LOOKED_BACK))
        numbers = set(range(first, claimed.attempt))
        if claimed.steady_s < UNSURE_S:
            stem = clip_keys(claimed.batch, claimed.row).video.removesuffix("mp4")
            for item in self.store.list(stem):
                found = _OBJECT.fullmatch(item.key.removeprefix(stem))
                if found is not None:
                    numbers.add(int(found["number"] or 1))
        return {number for number in numbers if number >= first}

    def _clip(self, keys: ClipKeys, is_alike: Callable[[Manifest], bool], claimed: Claimed) -> Found | None:
        content = self._manifest(keys)
        try:
            manifest = read_manifest(content)
        except InvalidDocument:
            return None
        same_life = is_leftover(content, job_id=claimed.job_id, submitted_s=claimed.submitted_s)
        if manifest.spec != claimed.spec or not (same_life or is_alike(manifest)):
            return None
        result = _result(manifest)
        whole = result.key == keys.video and self._is_whole(result, keys)
        return Found(result=result, word=manifest.job.claim) if whole else None

    def _is_whole(self, result: Result, keys: ClipKeys) -> bool:
        """Whether video and poster are there. The video is read: it may have been damaged since it was stored."""
        video = self.store.head(keys.video)
        if video is None or video.size_bytes != result.size_bytes or self.store.head(keys.poster) is None:
            return False
        try:
            body = self.store.get(keys.video, most_bytes=result.size_bytes)
        except (NotFound, ObjectTooLarge):  # it has just been removed or replaced
            return False
        return hashlib.sha256(body).hexdigest() == result.sha256

    def _manifest(self, keys: ClipKeys) -> bytes:
        """Return the bytes under a manifest's key: none if there is no object, an empty document if it is too large."""
        try:
            return self.store.get(keys.manifest, most_bytes=MOST_BYTES)
        except NotFound:
            return b""
        except ObjectTooLarge:
            return b"{}"


def _is_alike(manifest: Manifest, recipe: Recipe) -> bool:
    def mark(of: Recipe) -> tuple[object, ...]:
        return of.job.job_id, of.job.farm, of.spec, of.encoder, of.latents_sha256

    return mark(manifest) == mark(recipe)


def _result(manifest: Manifest) -> Result:
    return Result(
        key=manifest.clip.key,
        sha256=manifest.clip.sha256,
        size_bytes=manifest.clip.size_bytes,
        latents_sha256=manifest.clip.latents_sha256,
        seconds={stage[:64]: seconds for stage, seconds in manifest.seconds.items()},
        gpu_s=manifest.gpu_s or 0.0,
        energy_j=manifest.energy_j,
    )


def _word(manifest: bytes) -> str:
    """Return the word of the claim that wrote a manifest; empty if it names none."""
    try:
        return origin_of(manifest)[0].claim
    except InvalidDocument:
        return ""
