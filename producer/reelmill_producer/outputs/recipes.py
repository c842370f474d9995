"""Recipes: how a clip was made, read from its manifest or from the tags of its MP4: a file, a link or an object.

The schema is docs/manifest.schema.json. Recipes are untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from reelmill_common.errors import InvalidDocument, InvalidJob, NotFound, StoreUnavailable
from reelmill_common.jobs import spec_from_mapping
from reelmill_common.ledger import JobView
from reelmill_common.recipe import Recipe
from reelmill_common.recipe import read_recipe as checked
from reelmill_common.storage.keys import beside, is_key
from reelmill_common.text.untrusted_json import MOST_BYTES as MOST_MANIFEST_BYTES
from reelmill_common.text.untrusted_json import read_object
from reelmill_common.worker_classes import bits_class, decisive
from reelmill_producer.client import Reelmill
from reelmill_producer.control import is_job_id
from reelmill_producer.outputs.mp4_tags import read_tags

MOST_BYTES = 4_000_000
"""Bytes of a file that are read: a manifest has 3 kB, the tags of an MP4 are in its first 20 kB."""
TIMEOUT_S = 30.0
LINKS = ("http://", "https://")
_MP4 = b"ftyp"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecipe:
    """How a clip was made, by what lay in a store, a file or behind a link.

    Attributes:
        recipe: What this version knows of it.
        document: All of it, as it was found.
    """

    recipe: Recipe
    document: Mapping[str, Any]

    @property
    def worker_class(self) -> Mapping[str, Any]:
        """What decides the exact output besides spec and model: GPU, kernels and versions."""
        return decisive(self.document)

    @property
    def bits_class(self) -> str:
        """Name of that class, by which a job can ask for it; empty if no model rendered the clip."""
        return bits_class(self.document)


def expanded(path: str) -> Path:
    """Return a path with a leading `~` replaced by the home folder, if there is one."""
    with suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def find_recipe(target: str, farm: Reelmill | None) -> FoundRecipe:
    """Return the recipe of a file, a URL, a key of the store, or a job.

    Args:
        target: Path or URL of an MP4 or of a manifest, `batch/row-….mp4`, or a job: `batch/row` or its id.
        farm: Needed for keys and jobs only.

    Raises:
        NotFound: The target is not there, or has no recipe.
        InvalidJob: Its spec cannot be rendered by this version.
        StoreUnavailable: The URL does not answer.
    """
    if target.startswith(LINKS):
        return read_recipe(_fetch(target), target)
    if is_file(target):
        try:
            with expanded(target).open("rb") as handle:
                return read_recipe(handle.read(MOST_BYTES), target)
        except OSError as err:
            raise NotFound(f"{target[:200]} cannot be read ({err.strerror})") from err
    if farm is None or not (is_job_id(target) or is_key(target)):
        raise NotFound(f"{target[:200]} is neither a file, a link, a key of the store, BATCH/ROW nor the id of a job")
    key = farm.clip(farm.job(target)).key if is_job_id(target) else _key_of(target, farm)
    try:
        manifest = farm.store.get(beside(key, ".json"), most_bytes=MOST_MANIFEST_BYTES)
    except NotFound as err:
        raise NotFound(f"{target[:200]} is neither a file here nor the key of a clip in the store ({err})") from err
    return read_recipe(manifest, key)


def is_file(target: str) -> bool:
    """Whether a target is a file on this machine."""
    try:
        return expanded(target).is_file()
    except (OSError, ValueError):  # too long, or a NUL
        return False


def _key_of(target: str, farm: Reelmill) -> str:
    """Return the key of the clip of `BATCH/ROW`; a target that is a key already is returned unchanged."""
    if target.endswith((".mp4", ".json")):
        return target
    try:
        found = farm.status(target)
    except NotFound as err:
        raise NotFound(f"{target[:200]} is neither a file here, a key of the store nor a job: {err}") from err
    if isinstance(found, JobView):
        return farm.clip(found).key
    raise InvalidJob(f"{target} is a batch; name one of its clips: `reelmill results {target} --json` lists them")


def read_recipe(content: bytes, name: str) -> FoundRecipe:
    """Return the recipe in a manifest, or in the beginning of an MP4.

    Raises:
        NotFound: There is no recipe in it.
        InvalidJob: Its spec cannot be rendered by this version.
    """
    text: str | bytes = content
    if content[4:8] == _MP4:
        text = read_tags(content).get("comment", "")
    if not text:
        raise NotFound(f"{name[:200]} holds no recipe; only clips and manifests made here do")
    try:
        found = read_object(text, "what it holds")
        if isinstance(found.get("spec"), dict) and "prompt" not in found["spec"]:
            raise NotFound(
                f"{name[:200]} does not have its prompt: its farm keeps prompts out of files "
                "(REELMILL_PROVENANCE_PROMPT); name the clip as BATCH/ROW, or its .json in the store"
            )
        if isinstance(found.get("spec"), dict):
            spec_from_mapping(found["spec"])
        return FoundRecipe(recipe=checked(found, "what it holds"), document=found)
    except InvalidDocument as err:
        raise NotFound(f"{name[:200]} holds no recipe ({err}); only clips and manifests made here do") from err
    except InvalidJob as err:
        raise InvalidJob(f"{name[:200]} asks for what cannot be rendered here: {err}") from err


def _fetch(url: str) -> bytes:
    try:
        request = Request(url, headers={"Range": f"bytes=0-{MOST_BYTES - 1}"})  # noqa: S310 - http and https only
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            content: bytes = answer.read(MOST_BYTES)
            return content
    except HTTPError as err:
        with err:
            reason: object = f"HTTP {err.code} {err.reason}"
        cause: Exception = err
    except (OSError, ValueError, HTTPException) as err:
        reason, cause = getattr(err, "reason", err), err
    raise StoreUnavailable(f"{_shown(url)} cannot be fetched ({reason}); presigned links expire") from cause


def _shown(url: str) -> str:
    """Return a link without its query, which may contain a signature."""
    return url.partition("?")[0][:200]
