"""The package's extras: missing modules of the worker's, and the command that installs an extra from our origin."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reelmill_common.errors import InvalidSettings

NAME = "reelmill"
WORKER_MODULES = ("torch", "diffusers", "transformers", "safetensors", "av")
"""Modules of the extra `worker` that all rendering needs."""


WEB_MODULES = ("fastapi", "uvicorn", "mcp")
"""Modules of the extra `web`, for the console."""


def require_worker(command: str) -> None:
    """Refuse a command that renders on this machine where the worker extra is not installed.

    Raises:
        InvalidSettings: It is not installed; the message has the command that installs it.
    """
    missing = missing_of_worker()
    if missing:
        raise InvalidSettings(
            f"`{command}` needs the extra {NAME}[worker]: {', '.join(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} not installed; run {install_command('worker')}"
        )


def missing_of_worker() -> list[str]:
    """Return the modules of the worker extra that are not installed here, without importing any."""
    return [name for name in WORKER_MODULES if not _is_there(name)]


def require_web(command: str) -> None:
    """Refuse a command that serves the console where the extra `web` is not installed.

    Raises:
        InvalidSettings: It is not installed; the message has the command that installs it.
    """
    if missing := missing_of_web():
        raise InvalidSettings(
            f"`{command}` needs the extra {NAME}[web]: {', '.join(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} not installed; run {install_command('web')}"
        )


def missing_of_web() -> list[str]:
    """Return the modules of the web extra that are not installed here, without importing any."""
    return [name for name in WEB_MODULES if not _is_there(name)]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # an import hook of this machine forbids it
        return False


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation: from its clone, wheel or repository, else by name.

    pip records the origin of a distribution that is not from an index as `direct_url.json` (packaging.python.org,
    "Recording the Direct URL Origin of installed distributions").
    """
    pip = "pip"
    if Path(shutil.which("pip") or "/").parent != Path(sys.executable).parent:
        pip = f"{shlex.quote(sys.executable)} -m pip"
    return f"{pip} install {_requirement(extra, _origin())}"


def _origin() -> dict[str, Any]:
    try:
        return dict(json.loads(distribution(NAME).read_text("direct_url.json") or "{}"))
    except (PackageNotFoundError, ValueError):
        return {}


def _requirement(extra: str, origin: dict[str, Any]) -> str:
    """Return the argument of `pip install`, quoted for a shell."""
    url, folder, repository = origin.get("url", ""), origin.get("dir_info"), origin.get("vcs_info")
    if repository is not None:
        return f"'{NAME}[{extra}] @ {repository['vcs']}+{url}@{repository['commit_id']}'"
    path = unquote(urlsplit(url).path)
    if urlsplit(url).scheme != "file" or not Path(path).exists():
        return f"'{NAME}[{extra}]'"
    return f"{'-e ' if folder and folder.get('editable') else ''}{shlex.quote(f'{path}[{extra}]')}"
