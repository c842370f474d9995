"""The command `render`: one prompt becomes one clip, or one clip for each of several seeds."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.errors import InvalidJob, StoreRefused
from reelmill_common.jobs import Batch, RenderJob, RenderSpec, slug, spec_from_mapping
from reelmill_common.ledger import JobView
from reelmill_producer.cli import progress
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import DecoderName, Json, Priority, Profile, Reuse, SamplerName
from reelmill_producer.cli.output import link, print_json
from reelmill_producer.cli.session import Session, default_profile, read_settings, session
from reelmill_producer.cli.submit import followed, note_unknown, warn_if_idle
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.records import job_record
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.grids import seeds_of
from reelmill_producer.prompts.row_keys import distinct, unnamed_job
from reelmill_producer.reuse import reuse_mode

MOST_SEEDS = 1000


def render(  # noqa: PLR0913 - one parameter an option
    prompt: Annotated[str, typer.Argument(help="What the clip should show; - reads it from stdin.")],
    *,
    seed: Annotated[int | None, typer.Option(help="Noise seed; another seed gives another clip.")] = None,
    seeds: Annotated[str, typer.Option(help="Several seeds, one clip each, as in 1..8 or 3,5,8.")] = "",
    size: Annotated[str, typer.Option(help="Width and height in pixels, as in 832x480.")] = "",
    frames: Annotated[int | None, typer.Option(help="Length in frames, as in 81.")] = None,
    fps: Annotated[int | None, typer.Option(help="Frames per second of the file.")] = None,
    sampler: SamplerName = "",
    decoder: DecoderName = "",
    profile: Profile = "",
    priority: Priority = None,
    reuse: Reuse = "",
    out: Annotated[
        Path | None, typer.Option(help="Also copy the clip to this file (to this folder if there are several).")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the clip.")] = True,
    json: Json = False,
) -> None:
    """Render one prompt and print where the clip is.

    This is a path in a local folder, else a link. Asking again for the same clip finds it done.
    """
    settings, mode = read_settings(profile), reuse_mode(reuse)
    text = sys.stdin.read() if prompt == "-" else prompt
    fields = {"frames": frames, "fps": fps, "sampler": sampler, "decoder": decoder, **_size(size)}
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    profile = default_profile(settings)
    specs = [spec_from_mapping({"prompt": text, "profile": profile, **given, **one}) for one in _seeds(seed, seeds)]
    check = PromptCheck(settings, profile)
    check(specs[0])
    _check_out(out, len(specs))
    note_unknown(check)
    batch = Batch(name=_batch_of(specs), priority=5 if priority is None else priority)
    jobs = distinct([unnamed_job(batch.name, spec) for spec in specs])
    with session(settings, renders="reelmill render" if wait else "") as opened:
        before = opened.farm.ledger.events.newest()
        _renew(opened.farm, batch.name)
        opened.farm.submit_jobs(batch, jobs, reuse=mode)
        jobs = list(opened.farm.ledger.jobs.placed(jobs))
        if wait:
            _wait_for_clips(opened, batch.name, jobs, out, after=before, json=json)
            return
        for job in jobs:
            _print_job(opened.farm.job(job.job_id), json=json)
        warn_if_idle(opened)


def _wait_for_clips(
    opened: Session, batch: str, jobs: Sequence[RenderJob], out: Path | None, *, after: str, json: bool
) -> None:
    view = followed(opened, batch, after=after)
    for job in jobs:
        _print_clip(opened.farm, opened.farm.job(job.job_id), out, several=len(jobs) > 1, json=json)
    progress.require_success(view, opened.farm)


def _print_clip(farm: Reelmill, job: JobView, out: Path | None, *, several: bool, json: bool) -> None:
    clip = farm.clip(job) if job.result is not None else None
    if json:
        print_json(job_record(job, clip))
    if clip is None:
        if job.error is not None:
            inform(f"seed {job.spec.seed}: {job.error.get('code')}: {job.error.get('message')}")
        return
    where = link(clip)
    if out is not None:
        where = str(out / clip.key.rpartition("/")[2] if several or out.is_dir() else out)
        _copy(farm.store.get(clip.key), Path(where))
    if not json:
        typer.echo(where)


def _print_job(job: JobView, *, json: bool) -> None:
    if json:
        print_json(job_record(job))
    else:
        typer.echo(job.job_id)


def _renew(farm: Reelmill, batch: str) -> None:
    """Retry the batch if it exists: asking again for a clip that failed or was cancelled means to try it again."""
    if farm.has_batch(batch):
        farm.retry(batch)


def _batch_of(specs: Sequence[RenderSpec]) -> str:
    """Return a name made of what the clips show and of all that decides their pixels: asking again finds the batch."""
    digest = hashlib.sha256("".join(spec.digest for spec in specs).encode()).hexdigest()
    return f"{slug(slug(specs[0].prompt)[:40])}-{digest[:8]}"


def _copy(content: bytes, target: Path) -> None:
    try:
        target.write_bytes(content)
    except OSError as err:
        raise StoreRefused(
            f"cannot write --out {target} ({err.strerror}); the clip is stored; choose another file"
        ) from err


def _check_out(out: Path | None, clips: int) -> None:
    if out is None:
        return
    if clips > 1 and not out.is_dir():
        raise StoreRefused(f"--out {out} is not a folder, and {clips} clips do not fit into one file; make the folder")
    if not out.is_dir() and not out.absolute().parent.is_dir():
        raise StoreRefused(f"--out {out} has no folder {out.absolute().parent}; make it first")


def _size(text: str) -> dict[str, int]:
    if not text:
        return {}
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text.strip().lower())
    if found is None:
        raise InvalidJob(f"--size {text[:40]!r} is not WIDTHxHEIGHT; use for example 832x480")
    return {"width": int(found[1]), "height": int(found[2])}


def _seeds(seed: int | None, seeds: str) -> list[dict[str, int]]:
    if not seeds:
        return [{} if seed is None else {"seed": seed}]
    if seed is not None:
        raise InvalidJob(f"--seed {seed} and --seeds {seeds} are both given; use one of them")
    return [{"seed": number} for number in seeds_of(seeds, most=MOST_SEEDS)]
