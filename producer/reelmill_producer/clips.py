"""Clips: what a succeeded job stored, with a link that works now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reelmill_common.errors import NotFound
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import ClipChoice, JobView
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside
from reelmill_producer.clip_files import Wanted, fetch_clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A finished clip and how to get it.

    Attributes:
        key: Object key of the MP4, relative to the store's root; the poster and the manifest lie beside it.
        url: A link that works now: `file://…`, or presigned for `settings.presign_s`.
        seconds: Seconds by stage.
        gpu_s: GPU-seconds.
        energy_j: Energy of the GPU in joules; None where the GPU does not report it.
        reused_from: Id of the job that it was rendered for, if that is another one.
        metadata: Further columns of its row in the prompt file.
        choice: What people said of it; None: nothing yet.
    """

    job_id: str
    batch: str
    row: str
    spec: RenderSpec
    key: str
    url: str
    sha256: str
    size_bytes: int
    latents_sha256: str
    seconds: Mapping[str, float]
    gpu_s: float = 0.0
    energy_j: float | None = None
    reused_from: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    choice: ClipChoice | None = None
    _store: ClipStore | None = field(default=None, repr=False, compare=False)

    def download(self, path: Path | str) -> Path:
        """Download the clip to a file, verified by its SHA-256; return the file's path.

        Args:
            path: The file, or a folder, in which the file is named by row and seed. A file that is right already is
                left alone.

        Raises:
            NotFound: The store no longer has it.
            StoreError: It is not what was rendered, or the file cannot be written.
        """
        if self._store is None:
            raise NotFound(f"the clip {self.key} was not read from a farm, so its store is not known; use `farm.clip`")
        target = Path(path)
        if target.is_dir():
            target /= Wanted(
                row=self.row,
                key=self.key,
                sha256=self.sha256,
                size_bytes=self.size_bytes,
                seed=self.spec.seed,
                fields={},
            ).file_name
        fetch_clip(self._store, self.key, target, sha256=self.sha256, size_bytes=self.size_bytes)
        return target

    @property
    def poster_key(self) -> str:
        """Key of the JPEG."""
        return beside(self.key, ".jpg")

    @property
    def manifest_key(self) -> str:
        """Key of the JSON document that says how the clip was made."""
        return beside(self.key, ".json")


def clip_of(job: JobView, store: ClipStore) -> Clip:
    """Return the clip of a succeeded job.

    Raises:
        NotFound: The job has none (yet).
    """
    if job.result is None:
        raise NotFound(f"job {job.job_id} is {job.state} and has no clip")
    return Clip(
        job_id=job.job_id,
        batch=job.batch,
        row=job.row,
        spec=job.spec,
        key=job.result.key,
        url=store.url(job.result.key),
        sha256=job.result.sha256,
        size_bytes=job.result.size_bytes,
        latents_sha256=job.result.latents_sha256,
        seconds=job.result.seconds,
        gpu_s=job.result.gpu_s,
        energy_j=job.result.energy_j,
        reused_from=job.result.reused_from,
        metadata=job.metadata,
        choice=job.choice,
        _store=store,
    )
