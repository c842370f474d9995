"""One row of the matrix, from the start of its testbed to its verdict, and a program that runs some of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.matrix import page
from faults.matrix.fault import Fault, NotHere
from faults.matrix.testbed import Testbed, testbed
from faults.matrix.verdict import Verdict, judge
from fixtures.s3 import S3Server, nanio
from reelmill_common.jobs import RenderSpec
from reelmill_common.storage import open_store
from reelmill_worker.child.renderer import KILL_MARK

FULL_SWING = 9
"""Clips that are stored before a fault is injected: three for each worker."""
LONGEST_S = 300.0


class NeverBegan(Exception):
    """The workers of a row did not get ready, so nothing was tried."""


def play(faults: Sequence[Fault], out: Path, order: Sequence[str], *, jobs: int = 0) -> int:
    """Run rows one after the other, writing the page after each; return 1 if one broke its promise, else 0.

    `jobs` overrides how many each has.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers and workers end with us
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    broken = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        (Path(folder) / "nanio").mkdir()
        with nanio(Path(folder) / "nanio") as s3:
            os.environ.update(s3.credentials())  # boto3 reads them from nowhere else
            for fault in faults:
                row = run(fault, Path(folder), s3, jobs=jobs)
                page.save(out, row, order)
                broken += row["kept"] is False
                print(_summary(row), flush=True)
    return 1 if broken else 0


def run(fault: Fault, folder: Path, s3: S3Server, *, jobs: int = 0) -> dict[str, Any]:
    """Run one row on a testbed of its own and return it."""
    row = {"name": fault.name, "title": fault.title, "how": fault.how, "limit_s": fault.recovery_s}
    own = folder / fault.name
    own.mkdir()
    renderer = "model" if fault.model else f"fixed:{fault.clip_s:g}"
    started = time.monotonic()
    with_replica = fault.replicated or fault.sentinels > 0
    with testbed(own, s3, renderer=renderer, with_replica=with_replica, sentinels=fault.sentinels) as place:
        try:
            verdict, broken = _play(fault, place, jobs or fault.jobs)
        except NotHere as err:
            return row | {"run": False, "kept": None, "remarks": str(err)}
        except NeverBegan as err:
            return row | {"run": False, "kept": False, "remarks": f"the farm did not start: {err}"}
        settings = place.farm.settings
        shown = {"valkey": page.server_version(place.valkey), "renderer": renderer, "workers": len(place.hosts)}
        shown |= {"lease_s": settings.lease_s, "tick_s": settings.tick_s, "frames": 5, "size": "128x80"}
    return row | {
        "run": True,
        **verdict.numbers(),
        "kept": not broken,
        "broken": broken,
        "seconds": round(time.monotonic() - started, 1),
        "remarks": "; ".join(place.remarks),
        "conditions": page.conditions(shown),
    }


def _play(fault: Fault, place: Testbed, jobs: int) -> tuple[Verdict, list[str]]:
    broken: list[str] = []
    if fault.model:
        _share_model(place)
    try:
        fault.prepare(place)
    except (pytest.fail.Exception, OSError) as err:
        raise NeverBegan(str(err)[:300]) from err
    try:
        doomed = [RenderSpec(prompt=f"{KILL_MARK} {n}", seed=n, frames=5, profile="tiny") for n in range(fault.doom)]
        place.submit(jobs, doomed=doomed)
        place.wait_stored(min(FULL_SWING, jobs // 4))
        fault.inject(place)
    except (pytest.fail.Exception, OSError) as err:
        broken.append(f"the injection failed: {type(err).__name__}: {str(err)[:300]}")
    if not place.wait_over(LONGEST_S):
        broken.append(f"not over {LONGEST_S:.0f} s after the last injection")
    place.recorder.stop()
    verdict = judge(place, open_store(place.farm.settings), forgets=fault.forgets)
    return verdict, broken + _breaches(fault, verdict)


def _breaches(fault: Fault, verdict: Verdict) -> list[str]:
    found: list[str] = []
    if verdict.lost:
        found.append(f"{verdict.lost} lost ({verdict.lost_why[0]})")
    if verdict.published_twice:
        found.append(f"{verdict.published_twice} published twice")
    if fault.once and verdict.rendered_twice:
        found.append(f"{verdict.rendered_twice} rendered twice")
    slowest = max(verdict.recovery_s, default=0.0)
    if fault.recovery_s is not None and slowest > fault.recovery_s:
        found.append(f"recovery took {slowest:.1f} s")
    if verdict.doomed_alive:
        found.append(f"{verdict.doomed_alive} jobs that cannot succeed have not failed")
    return found


def _share_model(place: Testbed) -> None:
    """Make the tiny model once for all hosts of a row, in a process of its own: it needs torch, we do not."""
    folder = place.farm.folder / "model"
    command = [sys.executable, "-m", "reelmill_worker", "model", "tiny", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    place.farm.settings = replace(place.farm.settings, model_dir=str(folder))


def _summary(row: dict[str, Any]) -> str:
    if not row["run"]:
        return f"{row['name']}: not run: {row['remarks']}"
    names = ("jobs", "lost", "published_twice", "rendered_twice", "recovery_median_s", "recovery_max_s", "back_max_s")
    numbers = " ".join(f"{name}={row[name]}" for name in (*names, "strays", "claims", "seconds"))
    return f"{row['name']}: {'kept' if row['kept'] else 'BROKEN ' + str(row['broken'])}: {numbers}; {row['remarks']}"
