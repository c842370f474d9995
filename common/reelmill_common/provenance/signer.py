"""Signs clips: puts a C2PA manifest into an MP4, with the key of the settings, and a time stamp where one is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import structlog

from reelmill_common.errors import InvalidSettings, NotSigned
from reelmill_common.provenance.claim import SIGNED_LABELS
from reelmill_common.provenance.identity import Identity, Sign, load
from reelmill_common.settings import Settings

log = structlog.get_logger(__name__)

STAMP_S = 10.0
"""Seconds that a time-stamp authority may take; the library itself waits for ever."""
REST_S = 60.0
"""Seconds after such a failure in which clips are signed without asking for a stamp."""
_CONTEXT = {
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}, "created_assertion_labels": list(SIGNED_LABELS)},
}


@dataclass(slots=True, kw_only=True)
class ClipSigner:
    """Signs with the files that the settings name, which are read again when they change: so keys are rotated.

    Several threads may sign at once.
    """

    settings: Settings
    _identity: Identity | None = field(default=None, repr=False)
    _read_from: tuple[object, ...] = ()
    _unstamped_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def identity(self) -> Identity:
        """Return who signs now.

        Raises:
            InvalidSettings: The files are not usable, or the certificate's time is not now.
        """
        with self._lock:
            state = _state(self.settings)
            if self._identity is None or state != self._read_from:
                try:
                    self._identity = load(self.settings)
                except InvalidSettings as err:
                    if self._identity is None:
                        raise
                    # Two files cannot be replaced at once: the old pair signs until the new one fits.
                    log.warning("signer.not_changed", error=str(err))
                self._read_from = state
            self._identity.check_time()
            return self._identity

    def sign(self, video: Path, claim: Mapping[str, Any]) -> bool:
        """Put a signed manifest into an MP4, in its place; return whether it bears a time stamp.

        Args:
            video: The file; it is unchanged if this fails.
            claim: As `claim.claim` makes it.

        Raises:
            NotSigned: There is no usable key, the disk is full, or the time-stamp authority failed and its stamp is
                required.
        """
        try:
            identity = self.identity()
        except InvalidSettings as err:
            raise NotSigned(f"the clip cannot be signed: {err}") from err
        authority = self.settings.provenance_timestamp
        required = self.settings.provenance_timestamp_policy == "require"
        if authority and (required or time.monotonic() >= self._unstamped_until):
            try:
                _sign_in_time(video, claim, identity, authority)
            except NotSigned as err:
                if required:
                    raise
                self._unstamped_until = time.monotonic() + REST_S
                log.warning("clip.not_stamped", error=str(err))
            else:
                return True
        _sign(video, claim, identity, "", threading.Event())
        return False


def _sign_in_time(video: Path, claim: Mapping[str, Any], identity: Identity, authority: str) -> None:
    """Sign with a time stamp, on a thread that is left behind if the authority does not answer."""
    failure: list[Exception] = []
    too_late = threading.Event()

    def work() -> None:
        try:
            _sign(video, claim, identity, authority, too_late)
        except Exception as err:  # noqa: BLE001 - a thread's boundary: it is raised by the one that waits
            failure.append(err)

    thread = threading.Thread(target=work, name="time-stamp", daemon=True)
    thread.start()
    thread.join(STAMP_S)
    if thread.is_alive():
        too_late.set()
        raise NotSigned(f"the time-stamp authority {_host(authority)} did not answer within {STAMP_S:g} s")
    if failure:
        raise NotSigned(f"no time stamp from {_host(authority)}: {failure[0]}") from failure[0]


def _sign(video: Path, claim: Mapping[str, Any], identity: Identity, authority: str, too_late: threading.Event) -> None:
    """Write the signed file beside the video and rename it, unless it is too late by then.

    It is signed in memory, which takes half the time.
    """
    import c2pa  # noqa: PLC0415 - of the extra, and only where clips are signed

    part = video.with_name(f"{video.stem}.{token_hex(4)}.signing")
    failures: list[Exception] = []
    try:
        with (
            c2pa.Context.from_dict(_CONTEXT) as context,
            _native_signer(identity, authority, failures) as signer,
            c2pa.Builder(dict(claim), context=context) as builder,
        ):
            signed = BytesIO()
            builder.sign(signer, "video/mp4", BytesIO(video.read_bytes()), signed)
        part.write_bytes(signed.getbuffer())
        if not too_late.is_set():
            part.replace(video)
    except (c2pa.C2paError, OSError, ValueError) as err:
        cause = failures[0] if failures else err
        raise NotSigned(f"the clip cannot be signed: {type(cause).__name__}: {str(cause)[:300]}") from cause
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _native_signer(identity: Identity, authority: str, failures: list[Exception]) -> Any:
    """Return the library's signer; what the operator's function raises is kept in `failures`."""
    import c2pa  # noqa: PLC0415 - as above

    algorithm = c2pa.C2paSigningAlg[identity.algorithm.upper()]
    if identity.sign is not None:
        return c2pa.Signer.from_callback(
            _caught(identity.sign, failures), algorithm, identity.chain.decode(), authority or None
        )
    # The library takes the three texts as bytes.
    info: Any = c2pa.C2paSignerInfo
    return c2pa.Signer.from_info(info(algorithm, identity.chain, identity.key, authority.encode() or None))


def _caught(sign: Sign, failures: list[Exception]) -> Sign:
    def caught(data: bytes) -> bytes:
        try:
            return sign(data)
        except Exception as err:  # noqa: BLE001 - it cannot pass through native code: `_sign` raises it
            failures.append(err)
            return b""

    return caught


def _state(settings: Settings) -> tuple[object, ...]:
    """Return what changes when a file does."""
    found: list[object] = []
    for path in (settings.provenance_certificate, settings.provenance_key):
        try:
            status = Path(path).stat()
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0][:100]
