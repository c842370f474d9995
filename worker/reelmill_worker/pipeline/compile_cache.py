"""A file of what `torch.compile` made on this worker, so that the next start does not compile again.

Only the setup that made a file loads it: its name holds a hash of GPU, driver, torch, Triton, plan and model.
Torch unpickles its content, so it never lies in a model folder, which may come from anywhere, and it is ignored
unless it belongs to us and no other user may write it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch

from reelmill_common.atomic_file import write_atomically
from reelmill_worker.pipeline.network.plan import RenderPlan

log = structlog.get_logger(__name__)

KEPT_FILES = 8
"""Files of other setups that are left in the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCache:
    """The file of one setup. An error with it costs time, never a render: it is logged and ignored.

    Attributes:
        path: `<folder>/<key>.bin`.
        enabled: Whether there is a folder, and the plan compiles anything.
    """

    path: Path
    enabled: bool

    @classmethod
    def of(cls, folder: Path | None, plan: RenderPlan, model_hash: str) -> CompileCache:
        """Return the cache of a plan and a model on this machine; without a folder, one that keeps nothing."""
        name = f"{setup_key(plan, model_hash)}.bin"
        return cls(path=(folder or Path()) / name, enabled=plan.compile and folder is not None)

    def load(self) -> bool:
        """Give the compiler what an earlier start saved; return whether there was something."""
        if not self.enabled or not self.path.is_file():
            return False
        if not _is_ours_alone(self.path):
            log.warning("compile_cache.ignored", path=str(self.path), error="others than its owner may write it")
            return False
        try:
            loaded = torch.compiler.load_cache_artifacts(self.path.read_bytes())
            error = "" if loaded is not None else "torch does not take it"
        # A cut-off or foreign file may fail anywhere in the unpickling; compiling anew is always right.
        except Exception as err:  # noqa: BLE001
            error = f"{type(err).__name__}: {err}"
        if error:
            log.warning("compile_cache.ignored", path=str(self.path), error=error)
            return False
        log.info("compile_cache.loaded", path=str(self.path))
        return True

    def save(self) -> bool:
        """Write what this process compiled, unless the file is there; return whether it was written."""
        if not self.enabled or self.path.exists():
            return False
        artifacts = torch.compiler.save_cache_artifacts()
        if artifacts is None:
            return False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self.path, artifacts[0], mode=0o600)
            _drop_oldest(self.path.parent, keep=KEPT_FILES)
        except OSError as err:  # the disk may be full
            log.warning("compile_cache.not_saved", path=str(self.path), error=str(err))
            return False
        log.info("compile_cache.saved", path=str(self.path), size_bytes=len(artifacts[0]))
        return True


def setup_key(plan: RenderPlan, model_hash: str) -> str:
    """Return a hash of all that decides what the compiler makes, 32 hexadecimal digits."""
    facts = {
        "plan": {key: value for key, value in plan.describe().items() if key != "reasons"},
        "model": model_hash,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "driver": _driver(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _is_ours_alone(path: Path) -> bool:
    facts = [path.stat(), path.parent.stat()]
    return all(fact.st_uid == os.getuid() and not fact.st_mode & 0o022 for fact in facts)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except OSError:
        return ""


def _drop_oldest(folder: Path, *, keep: int) -> None:
    files = sorted(folder.glob("*.bin"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[keep:]:
        file.unlink(missing_ok=True)
