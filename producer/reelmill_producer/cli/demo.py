"""The command `demo`: a prompt file rendered in one folder, by a farm of its own, with a page to see."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.errors import NotFound, StoreRefused
from reelmill_common.jobs import Batch, JobState
from reelmill_common.prices import Prices
from reelmill_common.profiles import TINY, TINY_NOTE
from reelmill_common.report import gather
from reelmill_common.report.page import page, relative
from reelmill_producer.cli import progress
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, Profile
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import read_settings, session
from reelmill_producer.cli.submit import followed, note_unknown, summary
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.records import batch_record
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.files import open_prompt_file


def demo(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Prompts: .txt, .csv or .jsonl.")],
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the farm, the clips and the page.")] = Path("demo"),
    profile: Profile = "",
    json: Json = False,
) -> None:
    """Render a file in one folder, with a page to see.

    The folder holds a farm of its own, the clips, and an index.html that shows them. The default profile is `tiny`:
    small trained weights that know coloured things, floors and times of day, and ignore other words.
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
            inform(f"the policy that {file} has under batch: is ignored; a demo renders at once")
        before = opened.farm.ledger.events.newest()
        submitted = opened.farm.submit_jobs(Batch(name=rows.batch_name), rows.jobs(rows.batch_name))
        inform(summary(rows.batch_name, submitted, report))
        view = followed(opened, rows.batch_name, after=before)
        index = _write_page(opened.farm, rows.batch_name, root)
    if own.profile == TINY:
        inform(TINY_NOTE)
    inform(f"{view.counts[JobState.SUCCEEDED]} clips in {root / 'clips' / view.name}, and a page that shows them:")
    if json:
        print_json({**batch_record(view), "page": str(index), "clips": str(root / "clips" / view.name)})
    else:
        typer.echo(index)
    progress.require_success(view)


def _write_page(farm: Reelmill, batch: str, root: Path) -> Path:
    """Write the batch's contact sheet above the clips, where a person looks first."""
    jobs = list(farm.jobs(batch))
    lost = [job.result.key for job in jobs if job.result and farm.store.head(job.result.key) is None]
    if lost:
        raise NotFound(
            f"{', '.join(lost[:5])} was rendered, but is no longer in {root / 'clips'}; remove {root} to start again"
        )
    report = gather(farm.batch(batch), jobs, made_at=time.time(), prices=Prices.of(farm.settings))
    index = root / "index.html"
    try:
        index.write_text(page(report, link=partial(relative, root="clips/")), encoding="utf-8")
    except OSError as err:
        raise StoreRefused(f"cannot write {index} ({err.strerror}); choose another --dir") from err
    return index
