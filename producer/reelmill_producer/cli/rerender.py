"""The command `rerender`: a clip is made again from its recipe, and the latents are compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer

from reelmill_common.errors import NotFound, RenderFailed
from reelmill_common.jobs import Batch, RenderJob
from reelmill_common.ledger import JobView
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import ClipName, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import read_settings, session
from reelmill_producer.cli.submit import followed, warn_of_class
from reelmill_producer.outputs.recipes import FoundRecipe, find_recipe
from reelmill_producer.outputs.records import job_record

RERENDER = "rerender"
"""Batch of everything that was made again."""


def rerender(
    clip: ClipName,
    *,
    same_class: Annotated[
        bool,
        typer.Option(
            "--same-class",
            help="Only on a worker of the same GPU, kernels and versions, whose clips are equal to the bit.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make a clip again from its recipe, and say whether its latents are equal to the bit.

    On workers of one class (GPU, kernels, versions) they are; what differs is listed. Exits 69 if they differ.
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
            inform(f"{name}: was {was}, now {now}")
    if not equal:
        raise typer.Exit(RenderFailed.exit_status)


def compare(before: FoundRecipe, after: FoundRecipe) -> dict[str, tuple[Any, Any]]:
    """Return what decides the bits and differs (model, GPU, kernels, versions), by name: then and now."""
    first, second = _decisive(before), _decisive(after)
    names = [*first, *(name for name in second if name not in first)]
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def _decisive(recipe: FoundRecipe) -> dict[str, Any]:
    choices = dict(recipe.worker_class)
    versions = choices.pop("versions")
    packages = cast("Mapping[str, Any]", versions) if isinstance(versions, dict) else {}
    return {
        "model_hash": recipe.recipe.model_hash,
        **choices,
        **{f"version of {name}": packages[name] for name in packages},
    }


def _class_of(recipe: FoundRecipe) -> str:
    if not recipe.bits_class:
        raise NotFound(
            "the recipe names no GPU, kernels and versions, so it has no worker class; leave --same-class out"
        )
    return recipe.bits_class


def _why_failed(job: JobView) -> str:
    error = job.error or {"code": job.state.value, "message": "it was not rendered"}
    return f"the clip was not made again: {error.get('code')}: {error.get('message')}"
