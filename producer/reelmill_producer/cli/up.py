"""Commands that run a farm on this machine, or look at one: up, demo, doctor."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.errors import InvalidSettings, NotFound, StoreRefused
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import WorkerState
from reelmill_common.prices import Prices
from reelmill_common.profiles import TINY, TINY_NOTE
from reelmill_common.report import gather
from reelmill_common.report.page import page, relative
from reelmill_producer.cli import progress
from reelmill_producer.cli.errors import tell
from reelmill_producer.cli.options import Json, Profile
from reelmill_producer.cli.output import batch_record, finding_record, print_json
from reelmill_producer.cli.session import Session, read_settings, session
from reelmill_producer.cli.submit import followed, note_unknown, summary
from reelmill_producer.client import Reelmill
from reelmill_producer.doctor import checks as doctors
from reelmill_producer.embedded.farm import EmbeddedFarm
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.files import open_prompt_file

CHECK_S = 0.5


def up(*, profile: Profile = "", json: Json = False) -> None:
    """Run a farm on this machine until Ctrl-C.

    It has a Valkey, a worker for each GPU (or one on the CPU), and a folder of clips, and needs no configuration.
    Other terminals find it by themselves. Ctrl-C finishes the clip in hand; what waits is kept for the next `up`.
    """
    settings = read_settings(profile)
    if not settings.embedded:
        raise InvalidSettings(
            "REELMILL_REDIS_URL is set, so the farm runs elsewhere; unset it for a farm on this machine alone, "
            "or start `reelmill worker` to render for that one"
        )
    with session(settings, renders="reelmill up") as opened:
        local = _local(opened)
        if not local.owned:
            tell(f"a farm runs in {local.state_dir} already")
            _show_farm(opened, json=json)
            return
        try:
            opened.start_worker()
            _wait_until_ready(opened)
            _show_farm(opened, json=json)
            tell("ready; `reelmill submit FILE` in another terminal adds work, Ctrl-C here stops")
            _watch_all(opened)
        except KeyboardInterrupt:
            local.announce_stop()  # then the session ends in order: worker first, then the server


def demo(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Prompts: .txt, .csv or .jsonl.")],
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where everything goes.")] = Path("demo"),
    profile: Profile = "",
    json: Json = False,
) -> None:
    """Render a file in one folder, with a page to see.

    The folder holds a farm of its own, the clips, and an index.html that shows them. Uses the `tiny` profile unless
    told otherwise: small trained weights that know coloured things, floors and times of day, and ignore other words.
    """
    settings = read_settings(profile)
    root = folder.absolute()
    own = replace(
        settings,
        redis_url="",
        state_dir=root / ".state",
        store_url=(root / "clips").as_uri(),
        profile=settings.profile or TINY,
    )
    check = PromptCheck(own, own.profile)
    with (
        open_prompt_file(
            file, typer.get_binary_stream("stdin"), defaults={"profile": own.profile}, admit=check
        ) as rows,
        session(own, renders="reelmill demo") as opened,
    ):
        report = rows.checked()
        note_unknown(check)
        if rows.head is not None:
            tell(f"what {file} says under batch: is left out: a demo renders at once")
        before = opened.farm.ledger.events.newest()
        submitted = opened.farm.submit_jobs(Batch(name=rows.batch_name), rows.jobs(rows.batch_name))
        tell(summary(rows.batch_name, submitted, report))
        view = followed(opened, rows.batch_name, after=before)
        index = _write_page(opened.farm, rows.batch_name, root)
    if own.profile == TINY:
        tell(TINY_NOTE)
    tell(f"{view.counts[JobState.SUCCEEDED]} clips in {root / 'clips' / view.name}, and a page that shows them:")
    if json:
        print_json({**batch_record(view), "page": str(index), "clips": str(root / "clips" / view.name)})
    else:
        typer.echo(index)
    progress.require_success(view)


def doctor(
    *,
    gpu: Annotated[str, typer.Option(help='Only say how this GPU would render, for example "RTX 3090".')] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Also run the GPU's kernels and hash the model's files.")
    ] = False,
    json: Json = False,
) -> None:
    """Look at everything that a farm stands on, and say what to do.

    Exits 78 if something does not work, 0 if all does, with or without warnings.
    """
    findings = doctors.examine_gpu(gpu) if gpu else doctors.examine(read_settings(), deep=deep)
    if json:
        print_json({"worst": doctors.worst(findings).value, "findings": list(map(finding_record, findings))})
    else:
        for finding in findings:
            advice = f"\n        {finding.advice}" if finding.advice else ""
            typer.echo(f"{finding.level.value:<5} {finding.name}: {finding.found}{advice}")
    if doctors.worst(findings) is doctors.Severity.FAIL:
        raise typer.Exit(InvalidSettings.exit_status)


def _write_page(farm: Reelmill, batch: str, root: Path) -> Path:
    """Write the batch's contact sheet to where a person looks first, above the clips."""
    jobs = list(farm.jobs(batch))
    lost = [job.result.key for job in jobs if job.result and farm.store.head(job.result.key) is None]
    if lost:
        raise NotFound(
            f"{', '.join(lost[:5])} was rendered, but is no longer in {root / 'clips'}; remove {root} to start anew"
        )
    report = gather(farm.batch(batch), jobs, made_at=time.time(), prices=Prices.of(farm.settings))
    index = root / "index.html"
    try:
        index.write_text(page(report, link=partial(relative, root="clips/")), encoding="utf-8")
    except OSError as err:
        raise StoreRefused(f"cannot write {index} ({err.strerror}); choose another --dir") from err
    return index


def _local(opened: Session) -> EmbeddedFarm:
    assert opened.local is not None, "settings without a Redis URL make an embedded farm"  # noqa: S101
    return opened.local


def _wait_until_ready(opened: Session) -> None:
    while True:
        opened.check()
        if any(worker.state is WorkerState.READY for worker in opened.farm.workers()):
            return
        time.sleep(CHECK_S)


def _show_farm(opened: Session, *, json: bool) -> None:
    settings, workers = _local(opened).settings, opened.farm.workers()
    if json:
        print_json(
            {
                "state_dir": str(settings.state_dir),
                "store_url": settings.store_url,
                "profile": settings.profile,
                "workers": [worker.name for worker in workers],
                "pid": os.getpid(),
            }
        )
    else:
        typer.echo(settings.state_dir)
    tell(f"clips go to {settings.store_url}; {len(workers)} worker(s) for {settings.profile}")


def _watch_all(opened: Session) -> None:
    """Say what becomes of clips, until the farm ends."""
    after = opened.farm.ledger.events.newest()
    while True:
        for event in opened.farm.ledger.events.read(after=after, block_s=CHECK_S):
            after = event.event_id
            word = progress.WORDS.get(event.name)
            if word is not None:
                job = opened.farm.job(event.job_id)
                tell(f"{job.batch}: {progress.label(job)} {word}")
        opened.check()
