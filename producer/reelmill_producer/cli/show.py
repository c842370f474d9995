"""The command `show`: how a clip was made."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from reelmill_common.profiles import TINY, TINY_NOTE
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.console import print_text
from reelmill_producer.cli.options import ClipName, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.recipes import LINKS, FoundRecipe, find_recipe, is_file


def show(clip: ClipName, *, json: Json = False) -> None:
    """Show how a clip was made: prompt, seed, model, plan, versions, timings.

    The farm is asked only for a key of the store or a job's id.
    """
    with _farm_for(clip) as farm:
        recipe = find_recipe(clip, farm)
    if json:
        print_json(recipe.document)
        return
    for name, value in show_lines(recipe):
        print_text(f"{name + ':':<13} {value}")


@contextmanager
def _farm_for(clip: str) -> Generator[Reelmill | None]:
    """Connect only where the farm is needed: a recipe in a file can be read anywhere."""
    if clip.startswith(LINKS) or is_file(clip):
        yield None
        return
    with reading() as farm:
        yield farm


def show_lines(recipe: FoundRecipe) -> Iterator[tuple[str, str]]:
    """Yield what `show` prints of a recipe, by name. Nothing in a value begins a line or steers the terminal."""
    for name, value in _facts(recipe):
        yield name, printable(value)


def _facts(recipe: FoundRecipe) -> Iterator[tuple[str, str]]:
    spec, document = recipe.recipe.spec, recipe.document
    yield "prompt", spec.prompt
    yield "seed", str(spec.seed)
    yield "frames", f"{spec.frames} of {spec.width}x{spec.height} at {spec.fps} a second"
    yield "sampler", f"{spec.sampler}, decoder {spec.decoder}, profile {spec.profile}"
    if spec.profile == TINY:
        yield "note", TINY_NOTE
    for name in ("model_hash", "written_at", "gpu_s", "energy_j"):
        if document.get(name):
            yield name.replace("_", " "), str(document[name])
    for name in ("job", "metadata", "clip", "encoder", "versions", "seconds"):
        part = document.get(name)
        if isinstance(part, dict):
            values = cast("Mapping[str, Any]", part).items()
            known = [(key, value) for key, value in values if value not in ("", None) and key != "marks"]
            yield name, ", ".join(f"{key} {value}" for key, value in known)
    clip = document.get("clip")
    marks = cast("Mapping[str, Any]", clip).get("marks") if isinstance(clip, dict) else None
    if isinstance(marks, dict):
        yield "marks", f"AI-generated, {marks.get('signature', '')} {marks.get('signer', '')}".rstrip()
    if recipe.bits_class:
        yield "class", recipe.bits_class
    for name, value in recipe.worker_class.items():
        if name != "versions" and value not in (None, ""):
            yield name, str(value)
