"""Prompt files for the tests: a file is written, and read or refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from reelmill_common.errors import InvalidPromptFile
from reelmill_common.jobs import RenderJob, RenderSpec
from reelmill_producer.prompts.columns import asked_columns
from reelmill_producer.prompts.files import FileReport, open_prompt_file

TINY = {"profile": "tiny"}


def read(path: Path, content: str | bytes, *columns: str, seeds: str = "") -> tuple[list[RenderJob], list[str]]:
    """Write a file, and return its jobs and what was assumed."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with open_prompt_file(
        str(path), io.BytesIO(), defaults=TINY, columns=asked_columns(columns), seeds=seeds
    ) as prompts:
        prompts.checked()
        return list(prompts.jobs("night")), list(prompts.reading.assumptions())


def specs(path: Path, content: str) -> list[tuple[str, RenderSpec]]:
    """Write a file, and return the rows and specs of its jobs."""
    return [(job.row, job.spec) for job in read(path, content)[0]]


def refused(path: Path, content: str | bytes, *columns: str) -> str:
    """Write a file that is refused, and return the message."""
    with pytest.raises(InvalidPromptFile) as refusal:
        read(path, content, *columns)
    assert "nothing was submitted" in str(refusal.value) or "holds no prompts" in str(refusal.value)
    return str(refusal.value)


def check(path: Path) -> FileReport:
    """Check a file that is there."""
    with open_prompt_file(str(path), io.BytesIO(), defaults=TINY) as prompts:
        return prompts.check()


def yaml_rows(content: str | bytes) -> list[tuple[str, RenderSpec]]:
    """Return key and spec of the rows of a YAML file."""
    raw = content.encode() if isinstance(content, str) else content
    with open_prompt_file("-", io.BytesIO(raw), form="yaml", defaults=TINY) as prompts:
        prompts.checked()
        return list(prompts.rows())


def refused_yaml(content: str | bytes) -> str:
    """Return the message with which a YAML file is refused."""
    with pytest.raises(InvalidPromptFile) as refusal:
        yaml_rows(content)
    return str(refusal.value)
