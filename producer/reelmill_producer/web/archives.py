"""Archives: the clips of a batch as a ZIP file, written while it is sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from reelmill_common.errors import NotFound
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.downloads import wanted_clips

PIECE_BYTES = 1 << 18
MISSING = "missing.txt"


class _Outlet(io.RawIOBase):
    """Takes what `zipfile` writes, and gives it away: it cannot be sought, so each file's sum follows its content."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: object, /) -> int:
        data = bytes(piece)  # type: ignore[call-overload]  # a buffer of any kind
        self._pieces.append(data)
        return len(data)

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def archive_of(farm: Reelmill, batch: str, *, favourites: bool = False) -> Iterator[bytes]:
    """Yield a ZIP file with the finished clips of a batch, named as `reelmill download` names them.

    Clips are stored as they are: they would not become smaller. `missing.txt` lists what the store no longer has.

    Raises:
        NotFound: No such batch.
        StoreUnavailable: The store does not answer.
    """
    outlet, missing = _Outlet(), list[str]()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for clip in wanted_clips(farm, batch, favourites=favourites):
            try:
                with (
                    farm.store.open(clip.key) as stream,
                    archive.open(clip.file_name, "w", force_zip64=False) as target,
                ):
                    while piece := stream.read(PIECE_BYTES):
                        target.write(piece)
                        yield outlet.taken()
            except NotFound:
                missing.append(f"{clip.row}: {clip.key}\n")
        if missing:
            archive.writestr(MISSING, "".join(missing))
    yield outlet.taken()
