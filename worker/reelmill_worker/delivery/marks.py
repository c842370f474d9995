"""Marks a clip's file before it is stored: a signed manifest, and a fingerprint by which a copy is recognised."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from reelmill_common import __version__
from reelmill_common.config.extras import missing_modules
from reelmill_common.errors import NotSigned
from reelmill_common.provenance.claim import claim
from reelmill_common.provenance.identity import is_wanted
from reelmill_common.provenance.signer import ClipSigner
from reelmill_common.recipe import MarkFacts
from reelmill_common.settings import Settings
from reelmill_worker.delivery.video import Planes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipMarker:
    """Marks clips as the settings say. Several threads may use it at once."""

    settings: Settings
    signer: ClipSigner
    takes_fingerprints: bool
    _warned: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, settings: Settings) -> ClipMarker:
        """Return what the settings, and what is installed, allow."""
        takes = settings.provenance != "off" and not missing_modules("provenance")
        return cls(settings=settings, signer=ClipSigner(settings=settings), takes_fingerprints=takes)

    def mark(self, video: Path, planes: Planes, recipe: Mapping[str, Any]) -> MarkFacts:
        """Sign a clip's file, in its place, and return what was done.

        Args:
            video: The MP4.
            planes: Its pictures.
            recipe: As the file may show it, see `claim.shown`.

        Raises:
            NotSigned: It cannot be signed, and the settings require it.
        """
        fingerprint = self._fingerprint(planes)
        if not is_wanted(self.settings):
            is_off = self.settings.provenance == "off"
            return MarkFacts(signature="off" if is_off else "unsigned", fingerprint=fingerprint)
        claimed = claim(recipe, fingerprint=fingerprint, version=__version__, made_at=time.time())
        try:
            stamped = self.signer.sign(video, claimed)
        except NotSigned as err:
            if self.settings.provenance == "require":
                raise
            self._warn(str(err))
            return MarkFacts(signature="failed", fingerprint=fingerprint)
        name = self.signer.identity().name
        return MarkFacts(signature="signed", signer=name, time_stamped=stamped, fingerprint=fingerprint)

    def problem(self, video: Path) -> str:
        """Try to sign a file at start; return why it cannot be signed, or nothing.

        Raises:
            NotSigned: It cannot be signed, and the settings require it.
        """
        if not is_wanted(self.settings):
            return ""
        trial = {"job": {"batch": "trial", "row": "trial"}, "spec": {"profile": "trial"}, "model_hash": "none"}
        try:
            self.signer.sign(video, claim(trial, fingerprint="", version=__version__, made_at=time.time()))
        except NotSigned as err:
            if self.settings.provenance == "require":
                raise
            return f"clips are stored unsigned: {err}"
        return ""

    def _fingerprint(self, planes: Planes) -> str:
        if not self.takes_fingerprints:
            return ""
        from reelmill_common.provenance.fingerprint import Fingerprint, hashed_frames  # noqa: PLC0415 - of the extra

        height = planes.shape[1] * 2 // 3
        return Fingerprint.of([planes[index][:height] for index in hashed_frames(len(planes))]).text

    def _warn(self, why: str) -> None:
        """Say once why clips are stored unsigned: each clip's manifest says that it is."""
        if why not in self._warned:
            self._warned.add(why)
            log.warning("clip.not_signed", error=why)
