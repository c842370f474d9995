"""One verdict on a file: who signed it, whether it was altered, and which clip of ours it is a copy of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from reelmill_common.errors import InvalidDocument, InvalidSettings, NotFound, ObjectTooLarge
from reelmill_common.provenance.batch_index import FOLDER, BatchIndex, read_index
from reelmill_common.recipe import Manifest, read_manifest
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside
from reelmill_common.text.untrusted_json import MOST_BYTES
from reelmill_producer.verification import sandbox

MOST_INDEX_BYTES = 1 << 30


class FileVerdict(StrEnum):
    """What a file is."""

    SIGNED = "signed"
    """Signed by a signer whom the trust list vouches for, and unaltered since."""
    UNKNOWN_SIGNER = "unknown signer"
    """Signed and unaltered; nobody on the trust list vouches for the signer."""
    ALTERED = "altered"
    """Signed, and changed since: nothing in its manifest can be relied on."""
    RECOGNISED = "recognised"
    """Not signed, and a copy of a clip of this farm."""
    NOT_OURS = "not ours"
    """Not signed, and like no clip of this farm."""


STATUS: Mapping[FileVerdict, int] = {
    FileVerdict.SIGNED: 0,
    FileVerdict.UNKNOWN_SIGNER: 10,
    FileVerdict.ALTERED: 11,
    FileVerdict.RECOGNISED: 12,
    FileVerdict.NOT_OURS: 13,
}
"""Exit status of `reelmill verify`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The clip that a copy came from.

    Attributes:
        distance: Bits of 256 in which the frames of both that are most alike differ.
        look: How the copy had to be looked at: `""` as it is, `bars`, `crop 5 %`, `crop 10 %`.
        manifest: How the clip was made; None if its manifest is gone.
    """

    key: str
    distance: int
    look: str
    manifest: Manifest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A verdict and its grounds.

    Attributes:
        reason: Why, where the verdict alone does not say it.
        signature: What the manifest in the file says; None if there is none. Untrusted unless the verdict is `signed`.
        searched: Clips of the farm that it was compared with; 0: it was not.
    """

    verdict: FileVerdict
    reason: str
    signature: Mapping[str, Any] | None
    recognised: Recognised | None
    searched: int

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found, manifest = self.recognised, self.recognised.manifest if self.recognised else None
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "signature": None if self.signature is None else dict(self.signature),
            "recognised": None
            if found is None
            else {
                "key": found.key,
                "distance": found.distance,
                "look": found.look,
                "batch": manifest.job.batch if manifest else None,
                "row": manifest.job.row if manifest else None,
                "manifest": manifest.document() if manifest else None,
            },
            "searched": self.searched,
        }


def verify(path: Path, *, anchors: str, store: ClipStore, among: Iterable[BatchIndex] | None = None) -> Verification:
    """Return the verdict on a file, which may hold anything.

    Args:
        path: The file.
        anchors: PEM of the authorities whose signers are trusted.
        store: The farm's clips; asked only about a file that no trusted signer vouches for.
        among: Fingerprints with which such a file is compared; None: those of all batches.

    Raises:
        StoreError: The store cannot be asked.
    """
    signature = sandbox.read(path, "signature", anchors=anchors)
    verdict, reason = judge(signature)
    said = None if signature.get("state", "none") == "none" else signature
    if verdict is FileVerdict.SIGNED:
        return Verification(verdict=verdict, reason=reason, signature=said, recognised=None, searched=0)
    found, searched, problem = recognise(path, store, among=indexes(store) if among is None else among)
    if verdict is FileVerdict.NOT_OURS and found is not None:
        verdict = FileVerdict.RECOGNISED
    reasons = [reason, problem if found is None else ""]
    return Verification(
        verdict=verdict,
        reason="; ".join(filter(None, reasons)),
        signature=said,
        recognised=found,
        searched=searched,
    )


def judge(signature: Mapping[str, Any]) -> tuple[FileVerdict, str]:
    """Return what a file's manifest comes to, and why; `not ours` where there is none."""
    state, failures = signature.get("state", "none"), [str(code) for code in signature.get("failures", [])]
    if state == "none":
        return FileVerdict.NOT_OURS, str(signature.get("error", ""))
    if state == "broken":
        return FileVerdict.ALTERED, f"its manifest cannot be read: {signature.get('error', '')}"
    doubts = [code for code in failures if code.startswith(("signingCredential.", "timeStamp."))]
    damage = [code for code in failures if code not in doubts]
    if damage or (state == "invalid" and not doubts):
        return FileVerdict.ALTERED, ", ".join(damage) or "its manifest is not valid"
    if state == "trusted":
        return FileVerdict.SIGNED, ""
    return FileVerdict.UNKNOWN_SIGNER, ", ".join(doubts)


def recognise(path: Path, store: ClipStore, *, among: Iterable[BatchIndex]) -> tuple[Recognised | None, int, str]:
    """Return the clip that a file is a copy of, the number of clips that were compared, and why none could be.

    Raises:
        StoreError: The store cannot be asked.
    """
    import numpy as np  # noqa: PLC0415 - of the extra

    from reelmill_common.provenance.recognition import MOST_BITS, FarmIndex  # noqa: PLC0415 - as above

    answer = sandbox.read(path, "looks")
    views = {str(name): np.array(hashes, dtype=np.uint64) for name, hashes in answer.get("looks", {}).items()}
    if not views:
        return None, 0, f"no frame of it can be read ({answer['error']})" if answer.get("error") else "it has no frames"
    farm_index = FarmIndex.of(among)
    match = farm_index.nearest(views)
    if match is None or match.distance > MOST_BITS:
        return None, len(farm_index), "" if len(farm_index) else "there is no fingerprint to compare it with yet"
    manifest = _manifest(store, match.key)
    found = Recognised(key=match.key, distance=match.distance, look=match.look, manifest=manifest)
    return found, len(farm_index), ""


def indexes(store: ClipStore) -> Iterator[BatchIndex]:
    """Yield the indexes of all batches; one that is damaged is passed over.

    Raises:
        StoreError: The store cannot be asked.
    """
    for item in store.list(f"{FOLDER}/"):
        try:
            yield read_index(store.get(item.key, most_bytes=MOST_INDEX_BYTES))
        except (NotFound, InvalidDocument, ObjectTooLarge):
            continue


def read_anchors(path: str) -> str:
    """Return the PEM file of a trust list; empty for none.

    Raises:
        InvalidSettings: It cannot be read, or holds no certificate.
    """
    if not path:
        return ""
    from reelmill_common.provenance.identity import certificates  # noqa: PLC0415 - of the extra

    try:
        pem = Path(path).read_bytes()
    except OSError as err:
        raise InvalidSettings(
            f"the trust list {path} cannot be read ({err.strerror}); set REELMILL_PROVENANCE_TRUST to a PEM file"
        ) from err
    certificates(pem, path)
    return pem.decode("ascii", "replace")


def _manifest(store: ClipStore, key: str) -> Manifest | None:
    try:
        return read_manifest(store.get(beside(key, ".json"), most_bytes=MOST_BYTES))
    except (NotFound, InvalidDocument, ObjectTooLarge):
        return None
