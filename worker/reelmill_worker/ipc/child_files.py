"""Where the children of one Celery parent write what they report to it."""

from __future__ import annotations

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
