"""How far a render is, from the child to its parent: a small file, so that a hung child is found without the ledger."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

SIZE = 512
"""Bytes of the file: a shorter record is padded, so that each one replaces the last in one write."""
PATIENCE = 10.0
"""A stage may take so many times its running mean: a GPU that throttles, or a neighbour on the host, stays below."""
MEMORY = 0.2
"""Weight of the newest measurement in a stage's running mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the child of one process id is.

    Attributes:
        stage: Empty between renders.
        since: When the stage began, on the monotonic clock, which all processes of a host share.
        mean_s: Running mean of this stage for clips of the same shape; 0 for the first, which may compile.
    """

    pid: int
    stage: str = ""
    since: float = 0.0
    mean_s: float = 0.0

    def is_stuck(self, now: float, *, floor_s: float) -> bool:
        """Whether the stage takes so long that it will not end; False for the first of its shape."""
        return bool(self.stage and self.mean_s) and now - self.since > max(floor_s, PATIENCE * self.mean_s)


def read(path: Path, *, pid: int | None) -> Progress | None:
    """Return what the child with that process id last wrote, or None if it has written nothing, or writes right now."""
    try:
        checksum, _, text = path.read_bytes().partition(b" ")
    except FileNotFoundError:
        return None
    if checksum != _checksum(text):
        return None  # half of a record; the next look sees all of it
    progress = Progress(**json.loads(text))
    return progress if progress.pid == pid else None


def encode(progress: Progress) -> bytes:
    """Return the file's content, `SIZE` bytes, with a checksum, since a reader may come in the middle of a write."""
    text = json.dumps(asdict(progress)).encode().ljust(SIZE - len(_checksum(b"")) - 1)
    return _checksum(text) + b" " + text


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


@dataclass(slots=True, kw_only=True)
class StagePace:
    """The child's side: measures each stage and writes the present one. Only the thread that renders calls it.

    Attributes:
        path: None for a renderer outside of a farm.
        clock: Seconds on the monotonic clock.
    """

    path: Path | None = None
    clock: Callable[[], float] = time.monotonic
    _means: dict[tuple[Hashable, str], float] = field(default_factory=dict[tuple[Hashable, str], float])
    _here: tuple[Hashable, str] | None = None
    _since: float = 0.0
    _file: int | None = None

    def enter(self, shape: Hashable, stage: str) -> None:
        """Begin a stage of a clip of some shape, which ends the stage before."""
        self._measure()
        self._here, self._since = (shape, stage), self.clock()
        self._write(Progress(pid=os.getpid(), stage=stage, since=self._since, mean_s=self._means.get(self._here, 0.0)))

    def leave(self, *, done: bool) -> None:
        """End a render; a stage that was cut off is not measured."""
        if done:
            self._measure()
        self._here = None
        self._write(Progress(pid=os.getpid()))

    def _measure(self) -> None:
        if self._here is not None:
            taken = self.clock() - self._since
            self._means[self._here] = (1 - MEMORY) * self._means.get(self._here, taken) + MEMORY * taken

    def _write(self, progress: Progress) -> None:
        """Write in one call: each further one may wait for the interpreter, and the GPU with it."""
        if self.path is None:
            return
        with suppress(OSError):  # a full disk must not end a render
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._file, encode(progress), 0)
