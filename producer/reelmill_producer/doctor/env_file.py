"""The `.env` of a farm in containers: Compose silently accepts names that nothing reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from reelmill_common.config.setting_names import unknown_variable
from reelmill_common.findings import Finding, Severity
from reelmill_common.settings import Settings

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w-]*)\s*[=:]")
_MOST_BYTES = 1_000_000


def env_file_findings(file: Path) -> list[Finding]:
    """Return what is wrong with the names in a `.env`, if it is there; its values are secrets and are not read."""
    try:
        if not file.is_file():
            return []
        with file.open(encoding="utf-8", errors="replace") as lines:
            text = lines.read(_MOST_BYTES)
    except OSError:
        return []
    found = list(_wrong(text))
    if not found:
        return []
    return [
        Finding(
            name="env file",
            level=Severity.WARN,
            found=f"{file.absolute()}: {'; '.join(found)}",
            advice="correct the names, then `docker compose up -d`; .env.example lists those that containers get",
        )
    ]


def _wrong(text: str) -> Iterator[str]:
    ours = Settings().to_env()
    for number, line in enumerate(text.splitlines(), start=1):
        name = _LINE.match(line)
        if name is not None and name[1] not in ours:
            yield from (f"line {number}: {wrong}" for wrong in unknown_variable(name[1], ours))
