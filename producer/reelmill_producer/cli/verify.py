"""The command `verify`: whether a file is a clip of ours, signed, altered, or a copy without marks."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.config.extras import require_extra
from reelmill_common.errors import NotFound
from reelmill_common.storage import open_store
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.console import print_text
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import read_settings
from reelmill_producer.embedded import state_file
from reelmill_producer.outputs.recipes import LINKS, expanded
from reelmill_producer.verification.download import download
from reelmill_producer.verification.verdicts import STATUS, Verification, read_anchors
from reelmill_producer.verification.verdicts import verify as verify_file

_STATUSES = ", ".join(f"{status} {verdict.value}" for verdict, status in STATUS.items())


def verify(
    target: Annotated[str, typer.Argument(metavar="FILE|URL", help="A video, or a picture taken of one.")],
    *,
    trust: Annotated[
        str, typer.Option(help="PEM file of the authorities to trust. Default: REELMILL_PROVENANCE_TRUST.")
    ] = "",
    json: Json = False,
) -> None:
    """Say what a file is: signed, altered, signed by someone unknown, a copy of a clip of ours, or not ours.

    A file without a trusted signature is compared with the fingerprints of all batches in the store. Exit status:
    STATUSES.
    """
    require_extra("provenance", "reelmill verify")
    settings = read_settings()
    if settings.embedded and (record := state_file.running(settings.state_dir)) is not None:
        settings = state_file.attached_to(settings, record)
    anchors = read_anchors(trust or settings.provenance_trust)
    with _file(target, settings.notify_allow, plain_http=settings.notify_scheme == "http") as path:
        found = verify_file(path, anchors=anchors, store=open_store(settings))
    if json:
        print_json({"target": target, **found.record()})
    else:
        for name, value in _lines(found):
            print_text(f"{name + ':':<13} {printable(value)}")
    raise typer.Exit(STATUS[found.verdict])


verify.__doc__ = str(verify.__doc__).replace("STATUSES", _STATUSES)


@contextmanager
def _file(target: str, allowed: str, *, plain_http: bool) -> Generator[Path]:
    """Give the file that a target names, fetched if it is a link."""
    if not target.startswith(LINKS):
        path = expanded(target)
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
                raise NotFound(f"{target[:200]} is not a regular file")
            with path.open("rb"):
                pass
        except (OSError, ValueError) as err:
            raise NotFound(f"{target[:200]} cannot be read ({getattr(err, 'strerror', err)})") from err
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="reelmill-verify-") as folder:
        path = Path(folder) / "file"
        download(target, path, allowed, plain_http=plain_http)
        yield path


def _lines(found: Verification) -> Iterator[tuple[str, str]]:
    yield "verdict", found.verdict.value
    if found.reason:
        yield "because", found.reason
    said = found.signature or {}
    for name, key in (("signer", "signer"), ("stamped", "time"), ("made by", "generator"), ("title", "title")):
        if said.get(key):
            yield name, str(said[key])
    recipe = said.get("recipe")
    if isinstance(recipe, dict):
        spec = recipe.get("spec")
        yield "prompt", str(spec.get("prompt", spec.get("prompt_sha256", ""))) if isinstance(spec, dict) else ""
        yield "model", str(recipe.get("model_hash", ""))
    copy = found.recognised
    if copy is not None:
        yield "copy of", f"{copy.key}, {copy.distance:g} of 256 bits apart{f', {copy.look}' if copy.look else ''}"
        if copy.manifest is not None:
            yield "batch, row", f"{copy.manifest.job.batch}, {copy.manifest.job.row}"
            yield "its prompt", copy.manifest.spec.prompt
            yield "its seed", str(copy.manifest.spec.seed)
            yield "its model", copy.manifest.model_hash
    elif found.searched:
        yield "compared", f"with {found.searched:,} clips"
