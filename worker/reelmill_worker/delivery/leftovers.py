"""What other attempts at a job left in the store: adopted where it is the clip that was asked for, else removed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from reelmill_common.errors import InvalidDocument, NotFound, ObjectTooLarge, ReelmillError, StoreError
from reelmill_common.ledger import Claimed, Ledger, Result
from reelmill_common.recipe import is_leftover
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import ClipKeys, clip_keys
from reelmill_common.text.untrusted_json import MOST_BYTES, read_object

log = structlog.get_logger(__name__)

LOOKED_BACK = 3
"""Attempts before this one whose keys are looked at although others' clips may lie there."""
UNSURE_S = 600.0
"""Seconds after the server of the ledger was started, or promoted, in which a claim asks the store what is there: the
server may have forgotten attempts that came after, and their numbers."""
_OBJECT = re.compile(r"(a(?P<number>[1-9][0-9]{0,5})\.)?(mp4|jpg|webp|json)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A clip that another attempt stored whole, and the word of that one's claim; empty if an old version made it."""

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
        """Return the clip that another attempt in this life of a job stored, of whose end the ledger does not know."""
        for number in sorted(self._numbers(claimed), reverse=True):
            found = self._clip(clip_keys(claimed.batch, claimed.row, attempt=number), lambda _: False, claimed)
            if found is not None:
                return found
        return None

    def equal(self, claimed: Claimed, recipe: Mapping[str, Any]) -> Found | None:
        """Return the clip that lies under an attempt's own keys, if it does for the one that the attempt has rendered.

        Two attempts have the same number when the ledger forgot the first one, or that the job was submitted. In the
        same life of the job any clip will do, in another one only one of this farm with equal latents, encoded alike.
        """
        keys = clip_keys(claimed.batch, claimed.row, attempt=claimed.attempt)
        return self._clip(keys, lambda document: _is_alike(document, recipe), claimed)

    def clear(self, claimed: Claimed, *, keep: str = "") -> None:
        """Remove what other attempts stored: it was not accepted, or there would be no further one.

        Args:
            claimed: The attempt that is about to be published.
            keep: Key of the clip that it adopted.
        """
        try:
            numbers = self._numbers(claimed) if self.are_likely(claimed) else set[int]()
            for number in numbers - ({claimed.attempt} if not keep else set[int]()):
                self._clear(claimed, number, keep)
        except StoreError as err:  # an object too many is no harm: nothing points at it
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
            self._remove(claimed.job_id, keys, _word(_read(manifest)), stored)

    def _remove(self, job_id: str, keys: ClipKeys, word: str, stored: Collection[str]) -> None:
        """Remove objects, the manifest first, without which nobody takes the others for a clip.

        The video goes last: whoever may put it has the keys for its own.
        """
        try:
            if self.ledger.attempts.withdraw(job_id, keys.video, word):
                for key in sorted(stored, key=lambda key: (key == keys.video, key != keys.manifest)):
                    self.store.delete(key)
        except ReelmillError as err:  # as in `clear`
            log.warning("clip.left_behind", keys=sorted(stored), error=str(err))

    def _numbers(self, claimed: Claimed) -> set[int]:
        """The numbers of attempts that may have left something, of the unsure ones by what is in the store."""
        first = max(1, min(claimed.foreign + 1, claimed.attempt - LOOKED_BACK))
        numbers = set(range(first, claimed.attempt))
        if claimed.steady_s < UNSURE_S:
            stem = clip_keys(claimed.batch, claimed.row).video.removesuffix("mp4")
            for item in self.store.list(stem):
                found = _OBJECT.fullmatch(item.key.removeprefix(stem))
                if found is not None:
                    numbers.add(int(found["number"] or 1))
        return {number for number in numbers if number >= first}

    def _clip(self, keys: ClipKeys, is_alike: Callable[[Mapping[str, Any]], bool], claimed: Claimed) -> Found | None:
        manifest = self._manifest(keys)
        document = _read(manifest)
        same_life = is_leftover(manifest, job_id=claimed.job_id, submitted_s=claimed.submitted_s)
        if document.get("spec") != _plain(asdict(claimed.spec)) or not (same_life or is_alike(document)):
            return None
        result = _result(document, keys)
        return Found(result=result, word=_word(document)) if result and self._is_whole(result, keys) else None

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
        """Return what lies under a manifest's key; nothing if nothing does, and an empty one for what is not ours."""
        try:
            return self.store.get(keys.manifest, most_bytes=MOST_BYTES)
        except NotFound:
            return b""
        except ObjectTooLarge:
            return b"{}"


def _is_alike(document: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    def mark(of: Mapping[str, Any]) -> list[Any]:
        job = of["job"]
        return [job["job_id"], job["farm"], of["spec"], of["encoder"], of["latents_sha256"]]

    try:
        return mark(document) == mark(_plain(recipe))
    except (LookupError, TypeError):
        return False


def _result(document: Mapping[str, Any], keys: ClipKeys) -> Result | None:
    """What a manifest says of the clip beside it; None if it says something else, or nothing that makes sense."""
    try:
        clip, energy = document["clip"], document.get("energy_j")
        result = Result(
            key=str(clip["key"]),
            sha256=str(clip["sha256"]),
            size_bytes=int(clip["size_bytes"]),
            latents_sha256=str(clip["latents_sha256"]),
            seconds={str(stage)[:64]: float(seconds) for stage, seconds in document["seconds"].items()},
            gpu_s=float(document.get("gpu_s", 0.0)),
            energy_j=None if energy is None else float(energy),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    sound = result.key == keys.video and all(map(_SHA256.fullmatch, (result.sha256, result.latents_sha256)))
    return result if sound else None


def _word(document: Mapping[str, Any]) -> str:
    job = document.get("job")
    return str(job.get("claim", "")) if isinstance(job, dict) else ""


def _read(manifest: bytes) -> Mapping[str, Any]:
    try:
        return read_object(manifest or b"{}", "a manifest")
    except InvalidDocument:
        return {}


def _plain(value: object) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
