"""Commands about one clip: show how it was made, and make it again."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, cast

import typer

from reelmill_common.errors import NotFound, RenderFailed
from reelmill_common.jobs import Batch, RenderJob
from reelmill_common.ledger import JobView
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.errors import say, tell
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import job_record, print_json
from reelmill_producer.cli.session import read_settings, reading, session
from reelmill_producer.cli.submit import followed, warn_of_class
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.recipes import LINKS, FoundRecipe, find_recipe, is_file

RERENDER = "rerender"
"""Batch of everything that was made again."""

Clip = Annotated[
    str, typer.Argument(metavar="CLIP", help="MP4 or manifest as file, link or key of the store, or a job's id.")
]


def show(clip: Clip, *, json: Json = False) -> None:
    """Show how a clip was made: prompt, seed, model, plan, versions, timings.

    The farm is asked only for a key of the store or a job's id.
    """
    with _farm_for(clip) as farm:
        recipe = find_recipe(clip, farm)
    if json:
        print_json(recipe.document)
        return
    for name, value in show_lines(recipe):
        say(f"{name + ':':<13} {value}")


def rerender(
    clip: Clip,
    *,
    same_class: Annotated[
        bool, typer.Option("--same-class", help="Only on a worker whose clips are equal to the bit: GPU, versions.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a clip again from its recipe, and say whether its latents are equal to the bit.

    They are on workers of one class (GPU, kernels, versions); what differs is told. Exits 69 if
    they differ.
    """
    settings = read_settings()
    with session(settings, renders="reelmill rerender") as opened:
        first = find_recipe(clip, opened.farm)
        spec = first.recipe.spec
        before = opened.farm.ledger.events.newest()
        row = f"{spec.digest}-{int(time.time() * 1000):x}"
        worker_class = _class_of(first) if same_class else ""
        warn_of_class(opened.farm, worker_class, spec.profile)
        job = RenderJob(batch=RERENDER, row=row, spec=spec, worker_class=worker_class)
        opened.farm.submit_jobs(Batch(name=RERENDER), [job])
        followed(opened, RERENDER, after=before)
        again = opened.farm.job(job.job_id)
        if again.result is None:
            raise RenderFailed(_why_failed(again))
        second = find_recipe(job.job_id, opened.farm)
    before_sha256, after_sha256 = first.recipe.latents_sha256, second.recipe.latents_sha256
    equal = before_sha256 == after_sha256
    differences = compare(first, second)
    if json:
        record = {"equal": equal, "differences": differences, "before": before_sha256}
        print_json({**record, "after": after_sha256, "job": job_record(again)})
    else:
        typer.echo("equal" if equal else "different")
        for name, (was, now) in differences.items():
            tell(f"{name}: was {was}, now {now}")
    if not equal:
        raise typer.Exit(RenderFailed.exit_status)


def compare(before: FoundRecipe, after: FoundRecipe) -> dict[str, tuple[Any, Any]]:
    """Return what decides the bits and differs: model, GPU, kernels, versions. By name, then and now."""
    first, second = _decisive(before), _decisive(after)
    names = [*first, *(name for name in second if name not in first)]
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def _decisive(recipe: FoundRecipe) -> dict[str, Any]:
    choices = dict(recipe.worker_class)
    versions = choices.pop("versions")
    packages = cast("Mapping[str, Any]", versions) if isinstance(versions, dict) else {}
    named = {f"version of {name}": packages[name] for name in packages}
    return {"model_hash": recipe.recipe.model_hash, **choices, **named}


def _class_of(recipe: FoundRecipe) -> str:
    if not recipe.bits_class:
        raise NotFound("the recipe names no GPU, kernels and versions, so no worker class; leave --same-class out")
    return recipe.bits_class


def _why_failed(job: JobView) -> str:
    error = job.error or {"code": job.state.value, "message": "it was not rendered"}
    return f"the clip was not made again: {error.get('code')}: {error.get('message')}"


@contextmanager
def _farm_for(clip: str) -> Generator[Reelmill | None]:
    """Connect only where the farm is needed: a recipe in a file can be read anywhere."""
    if clip.startswith(LINKS) or is_file(clip):
        yield None
        return
    with reading() as farm:
        yield farm


def show_lines(recipe: FoundRecipe) -> Iterator[tuple[str, str]]:
    """Yield what `show` tells of a recipe, by name. Nothing in a value begins a line or steers the terminal."""
    for name, value in _facts(recipe):
        yield name, printable(value)


def _facts(recipe: FoundRecipe) -> Iterator[tuple[str, str]]:
    spec, document = recipe.recipe.spec, recipe.document
    yield "prompt", spec.prompt
    yield "seed", str(spec.seed)
    yield "frames", f"{spec.frames} of {spec.width}x{spec.height} at {spec.fps} a second"
    yield "sampler", f"{spec.sampler}, decoder {spec.decoder}, profile {spec.profile}"
    for name in ("model_hash", "written_at", "gpu_s", "energy_j"):
        if document.get(name):
            yield name.replace("_", " "), str(document[name])
    for name in ("job", "metadata", "clip", "encoder", "versions", "seconds"):
        part = document.get(name)
        if isinstance(part, dict):
            values = cast("Mapping[str, Any]", part).items()
            yield name, ", ".join(f"{key} {value}" for key, value in values if value not in ("", None))
    if recipe.bits_class:
        yield "class", recipe.bits_class
    for name, value in recipe.worker_class.items():
        if name != "versions" and value not in (None, ""):
            yield name, str(value)
