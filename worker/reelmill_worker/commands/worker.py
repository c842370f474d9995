"""The worker's commands on `reelmill`'s command line: `worker` and `model …`. Imports neither torch nor celery."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from reelmill_common.command_help import HelpfulGroup
from reelmill_common.contract import queue_name
from reelmill_common.errors import InvalidSettings
from reelmill_common.gpus import require_profile
from reelmill_common.jobs import DEFAULT_PROFILE, slug
from reelmill_common.profiles import PROFILES, TINY
from reelmill_common.settings import Settings
from reelmill_worker.commands.model import app as model_app

if TYPE_CHECKING:
    from reelmill_worker.host.gpus import Gpu

app = typer.Typer(no_args_is_help=True, help="Commands of a host that renders.")
app.add_typer(model_app, name="model", cls=HelpfulGroup, epilog="Try: reelmill model pull")

WORKER_EPILOG = "Try: REELMILL_REDIS_URL=redis://:password@queue:6379/0 reelmill worker --devices 0,1"
CPU = "cpu"


@app.command("worker", epilog=WORKER_EPILOG)
def worker(
    devices: Annotated[
        str,
        typer.Option(
            help="GPUs to serve, as nvidia-smi counts: 0,1; `cpu` for none. Default: every GPU, else the CPU."
        ),
    ] = "",
    profile: Annotated[
        str,
        typer.Option(
            help=f"Model profile: {', '.join(PROFILES)}. Default: REELMILL_PROFILE.",
            autocompletion=lambda: list(PROFILES),
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="First part of the workers' names, instead of gpu or cpu.")] = "",
) -> None:
    """Render jobs of the farm at REELMILL_REDIS_URL until stopped: one process per GPU, each with its model loaded.

    SIGTERM or Ctrl-C finishes and stores the clips in hand, then exits 0; a second one kills. Exits 69 when every
    worker is quarantined (its start-up checks failed; the log and `reelmill status` say why), 78 for bad settings.
    """
    from reelmill_worker import logs  # noqa: PLC0415 - celery: `reelmill --help` must stay quick
    from reelmill_worker.host import slots, supervisor  # noqa: PLC0415 - celery: `reelmill --help` must stay quick

    settings = _settings(profile)
    logs.configure(level=settings.log_level, form=settings.log_format, stream=sys.stderr)
    if name and name != slug(name):
        raise InvalidSettings(f"--name {name!r} is not usable; use for example {slug(name)!r}")
    gpus = _gpus(devices)
    if not gpus and settings.renderer == "model" and settings.profile != TINY:
        raise InvalidSettings(
            f"profile {settings.profile} needs an NVIDIA GPU, and "
            f"{'--devices cpu asks for none' if devices == CPU else 'none is found here (asked NVML, /dev/nvidia*)'}; "
            f"install NVIDIA's driver, give the container its GPUs (--gpus all), or set REELMILL_PROFILE=tiny"
        )
    with ExitStack() as stack:
        machine = slots.machine_of(settings.state_dir)
        claims = slots.SlotClaims(
            state_dir=settings.state_dir,
            host=socket.gethostname(),
            machine=machine,
            take=slots.taker(settings, machine),
            stack=stack,
        )
        claimed = claims.claim(gpus, name)
        slots.forgive(settings, claimed)
        queue = queue_name(settings.farm, settings.profile)
        parents = [
            supervisor.Parent(
                slot=slot,
                command=supervisor.celery_command(slot.node, queue),
                environment=supervisor.thread_limits(len(claimed))
                | os.environ
                | _own(settings, slot.number, len(claimed)).to_env(),
            )
            for slot in claimed
        ]
        status = supervisor.Supervisor(parents=parents).run()
    raise typer.Exit(status)


def _settings(profile: str) -> Settings:
    settings = Settings.from_env(os.environ)
    if settings.embedded:
        raise InvalidSettings(
            "REELMILL_REDIS_URL is not set, so no farm is named; set it to redis://:password@host:6379/0, "
            "or run `reelmill up` for a farm on this machine alone"
        )
    require_profile(profile)
    return replace(settings, profile=profile or settings.profile or DEFAULT_PROFILE)


def _own(settings: Settings, number: int, workers: int) -> Settings:
    """Return the settings of one of this host's workers: a port of its own for its figures, its share of the cores."""
    from reelmill_worker.host.supervisor import encoder_threads  # noqa: PLC0415 - as above

    return replace(
        settings,
        metrics_port=settings.metrics_port and settings.metrics_port + number,
        video_threads=settings.video_threads or encoder_threads(workers),
    )


def _gpus(text: str) -> list[Gpu]:
    from reelmill_worker.host.gpus import choose, find_gpus  # noqa: PLC0415 - as above

    return [] if text == CPU else choose(find_gpus(), text, os.environ.get("CUDA_VISIBLE_DEVICES"))
