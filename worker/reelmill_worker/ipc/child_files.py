"""Where the children of one Celery parent write what they report to it, and how a file is written whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFiles:
    """The files of one parent's children, which outlive each child.

    Attributes:
        state_dir: Folder of the host's state.
        worker: Node name.
        parent_pid: Process id of the Celery parent.
    """

    state_dir: Path
    worker: str
    parent_pid: int

    @property
    def status(self) -> Path:
        """See `child_status`."""
        return self._path("json")

    @property
    def counters(self) -> Path:
        """See `counters`."""
        return self._path("figures")

    @property
    def progress(self) -> Path:
        """See `progress`."""
        return self._path("progress")

    def _path(self, suffix: str) -> Path:
        return self.state_dir / "run" / f"{self.worker}.{self.parent_pid}.{suffix}"


def write_whole(path: Path, text: str) -> None:
    """Replace a file, so that a reader finds the old content or the new, and never a part.

    Raises:
        OSError: The disk is full, or not to be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(text)
    draft.replace(path)
