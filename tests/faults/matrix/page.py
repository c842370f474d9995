"""The fault matrix on paper: one JSON file with all figures, and the page made from it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis

from reelmill_producer.embedded.valkey import ValkeyServer

HEAD = """# Fault matrix

Real `reelmill worker` processes on a real Valkey and a real S3 server (nanio), a batch of clips, and one fault a row,
injected while the batch runs. `make faults` makes all of it again, `make faults FAULT=name` one row; it ends with a
status other than 0 if a row breaks its promise. Every sample is in [fault-matrix.json](fault-matrix.json).

What is counted comes from outside the ledger: the objects in the bucket, the workers' logs, the event stream.

- **lost**: jobs without a clip in the bucket that is whole (its hash is that in its manifest) and that the ledger
  tells. Jobs that cannot succeed (a prompt that kills) are not meant.
- **published twice**: jobs with more than one manifest in the bucket, or more than one finish accepted, or more than
  one that a worker tells of. Where Redis forgets what it has answered, only manifests count: it accepts a forgotten
  finish again.
- **rendered twice**: jobs with more than one attempt that came to the end of its render. A clip that dies with the
  process that holds it is rendered again by design; it is counted here.
- **recovery**: seconds from the blow (for an outage: from its end) until a job was published that was in flight on the
  farm at that time: running, or sent to a worker and not begun. One sample a job, so the median is mostly of jobs
  that the fault missed, and the maximum is of those that it hit.
- **back**: seconds from the same time until a worker that was hit claimed a job again; the longest. No limit: it
  is how long this machine takes to start a process that loads the renderer, and two cores are shared by all of them.
- **load**: this machine's load average at the end of the row. More than its cores means that others worked on it too,
  and seconds are longer than they would be.
- **strays**: objects left in the bucket that belong to no published clip. The ledger points at none of them.

A row keeps its promise if nothing is lost or published twice, recovery stays within the limit where one is promised,
nothing is rendered twice where that is promised, and what cannot succeed has failed.
"""

NONE = "-"
COLUMNS = (
    "fault", "how it is made", "jobs", "lost", "published twice", "rendered twice",
    "recovery median s", "recovery max s", "limit s", "back max s", "strays", "load", "kept", "remarks",
)  # fmt: skip


def conditions(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return where, when and on what a row was measured."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("celery", "kombu", "redis", "boto3", "nanio")},
        **settings,
    }


def server_version(server: ValkeyServer) -> str:
    """Return the version of the Valkey that serves."""
    with redis.Redis.from_url(server.url) as client:
        info: Mapping[str, Any] = client.info("server")  # type: ignore[assignment]  # redis-py types it as awaitable too
    return str(info.get("valkey_version", info["redis_version"]))


def save(folder: Path, row: Mapping[str, Any], order: Sequence[str]) -> None:
    """Put one row into the JSON file, in its place, and write the page anew."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "fault-matrix.json"
    rows = {item["name"]: item for item in (json.loads(file.read_text())["rows"] if file.exists() else [])}
    rows[row["name"]] = row
    placed = [rows[name] for name in order if name in rows]
    file.write_text(json.dumps({"rows": placed}, indent=1) + "\n")
    (folder / "fault-matrix.md").write_text(_page(placed))


def _page(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [HEAD, _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(_cells(row)) for row in rows]
    lines += ["", "## Conditions", "", "A `+` after a commit: with changes that were not yet committed.", ""]
    lines += _conditions(rows)
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    if not row["run"]:
        return [row["title"], row["how"], *[NONE] * 10, "not run", row["remarks"]]
    kept = "yes" if row["kept"] else f"**no**: {'; '.join(row['broken'])}"
    names = ("jobs", "lost", "published_twice", "rendered_twice", "recovery_median_s", "recovery_max_s", "limit_s")
    numbers = [_figure(row[name]) for name in (*names, "back_max_s", "strays")]
    load = _figure(row["conditions"]["load"])
    return [f"{row['title']} (`{row['name']}`)", row["how"], *numbers, load, kept, row["remarks"]]


def _figure(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _conditions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the rows by what they were measured on; most share it."""
    same: dict[str, list[str]] = {}
    for row in rows:
        if row["run"]:
            kept = {name: value for name, value in row["conditions"].items() if name not in ("date", "load")}
            same.setdefault(", ".join(f"{name} {value}" for name, value in kept.items()), []).append(row["name"])
    lines: list[str] = []
    for text, names in same.items():
        dates = sorted(row["conditions"]["date"] for row in rows if row["name"] in names and row["run"])
        lines.append(f"- {', '.join(names)}: {dates[0]} to {dates[-1]}; {text}.")
    return lines


def _git(*args: str) -> str:
    return subprocess.run(["git", *args], capture_output=True, text=True, check=True).stdout.strip()
