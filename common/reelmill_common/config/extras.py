"""The package's extras: what of them is missing, and the command that installs an extra from our origin."""

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
MODULES = {
    "worker": ("torch", "diffusers", "transformers", "safetensors", "av"),
    "web": ("fastapi", "uvicorn", "mcp"),
    "provenance": ("c2pa", "cryptography", "pdqhash", "numpy", "av", "PIL"),
}
"""Modules of the extras without which rendering, the console, and signing or `reelmill verify`, cannot begin."""


def require_extra(extra: str, command: str) -> None:
    """Refuse a command where the extra that it needs is not installed.

    Args:
        extra: `worker`, `web` or `provenance`.
        command: As it was typed.

    Raises:
        InvalidSettings: It is not installed; the message has the command that installs it.
    """
    if missing := missing_modules(extra):
        raise InvalidSettings(
            f"`{command}` needs the extra {NAME}[{extra}]: {', '.join(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} not installed; run {install_command(extra)}"
        )


def missing_modules(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed here, without importing any."""
    return [name for name in MODULES[extra] if not _is_there(name)]


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
