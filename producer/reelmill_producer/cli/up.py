"""The command `up`: a farm on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Annotated

import typer

from reelmill_common.config.extras import missing_modules
from reelmill_common.errors import InvalidSettings
from reelmill_common.ledger import WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.cli import progress
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, Profile
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import Session, read_settings, session
from reelmill_producer.embedded.farm import EmbeddedFarm
from reelmill_producer.outputs.records import record_of

CHECK_S = 0.5


def up(
    *,
    profile: Profile = "",
    console: Annotated[
        bool, typer.Option("--console/--no-console", help="Serve the console too, if reelmill[web] is installed.")
    ] = True,
    open_: Annotated[
        bool, typer.Option("--open", help="Let everyone on this machine into the console without a token.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a farm on this machine until Ctrl-C.

    It has a Valkey server, a worker for each GPU (or one on the CPU) and a folder of clips, and needs no configuration.
    Other terminals find it by themselves. Ctrl-C finishes the clips in hand; what waits is kept for the next `up`.
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
            inform(f"a farm runs in {local.state_dir} already")
            _show_farm(opened, json=json)
            return
        try:
            opened.start_worker()
            _wait_until_ready(opened)
            _show_farm(opened, json=json)
            with _console(local.settings, is_open=open_) if console else nullcontext():
                inform("ready; `reelmill submit FILE` in another terminal adds work, Ctrl-C here stops")
                _watch_all(opened)
        except KeyboardInterrupt:
            local.announce_stop()  # then the session ends in order: worker first, then the server


@contextmanager
def _console(settings: Settings, *, is_open: bool) -> Generator[None]:
    """Serve the console beside the farm, where it is installed and its port is free."""
    if missing_modules("web"):
        yield
        return
    from reelmill_producer.web.server import in_background  # noqa: PLC0415 - of an extra

    with ExitStack() as stack:
        try:
            url = stack.enter_context(in_background(settings, is_open=is_open))
        except InvalidSettings as err:
            inform(f"no console: {err}")
        else:
            how = "" if is_open else "; `reelmill token add NAME --role operator` makes a token to sign in with"
            inform(f"the console is at {url}{how}")
        yield


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
        names = [worker.name for worker in workers]
        record = {"state_dir": str(settings.state_dir), **record_of(settings, "store_url profile"), "workers": names}
        print_json({**record, "pid": os.getpid()})
    else:
        typer.echo(settings.state_dir)
    inform(f"clips go to {settings.store_url}; {len(workers)} worker(s) for {settings.profile}")


def _watch_all(opened: Session) -> None:
    """Print how clips end, until the farm ends."""
    after = opened.farm.ledger.events.newest()
    while True:
        for event in opened.farm.ledger.events.read(after=after, block_s=CHECK_S):
            after = event.event_id
            word = progress.TEXTS.get(event.name)
            if word is not None:
                job = opened.farm.job(event.job_id)
                inform(f"{job.batch}: {progress.label(job)} {word}")
        opened.check()
