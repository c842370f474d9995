"""Every command in one table, and the entry point of the `reelmill` program."""

from __future__ import annotations

import signal
import sys
import traceback
from importlib.metadata import entry_points
from types import FrameType

import typer

from reelmill_common.errors import InvalidSettings, ReelmillError
from reelmill_producer.cli import (
    accounting,
    farming,
    following,
    forgiving,
    keeping,
    nights,
    notifying,
    policies,
    rendering,
    reporting,
    retelling,
    showing,
    steering,
    submitting,
    top,
)
from reelmill_producer.cli.boundary import EPILOG, WORKER_COMMANDS, CommandLine, log_to_stderr, tell
from reelmill_producer.flower import EPILOG as FLOWER_EPILOG
from reelmill_producer.flower import flower
from reelmill_producer.metrics import EPILOG as METRICS_EPILOG
from reelmill_producer.metrics import metrics

GROUP = "reelmill.commands"

app = typer.Typer(
    name="reelmill",
    cls=CommandLine,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A list of prompts and some GPUs become a bucket of finished clips.",
    epilog=EPILOG,
)


def main() -> None:
    """Run the command line; does not return."""
    log_to_stderr()
    signal.signal(signal.SIGTERM, _interrupt)  # systemd and docker stop us so: drain as for Ctrl-C
    try:
        app()
    except Exception:  # noqa: BLE001 - the boundary: a bug of ours gets its traceback and its exit status
        traceback.print_exc()
        tell("error: this is a bug in Reelmill; please report it with the lines above")
        sys.exit(ReelmillError.exit_status)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _add_plugins() -> None:
    found = False
    for entry in entry_points(group=GROUP):
        try:
            app.add_typer(entry.load(), rich_help_panel=None)
            found = True
        except ImportError as err:
            _add_missing(str(err))
            found = True
    if not found:
        _add_missing("the package is not installed")


def _add_missing(why: str) -> None:
    """Stand in for the worker's commands, so that they say what to do instead of being unknown."""

    def missing() -> None:
        raise InvalidSettings(f"this command cannot be loaded ({why}); run pip install 'reelmill[worker]'")

    for name in WORKER_COMMANDS:
        app.command(
            name,
            help="Not available: needs pip install 'reelmill[worker]'.",
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(missing)


for _command, _epilog in (
    (rendering.render, 'Try: reelmill render "a red fox in the snow" --seed 7'),
    (submitting.submit, "Try: reelmill submit examples/prompts.csv --wait"),
    (following.watch, "Try: reelmill watch prompts"),
    (following.status, "Try: reelmill status --json"),
    (following.why, "Try: reelmill why prompts"),
    (retelling.logs, "Try: reelmill logs prompts"),
    (top.top, "Try: reelmill top"),
    (reporting.report, "Try: reelmill report prompts"),
    (accounting.accounts, "Try: reelmill accounts --since 7d"),
    (showing.show, "Try: reelmill show clip.mp4"),
    (showing.rerender, "Try: reelmill rerender clip.json"),
    (following.results, "Try: reelmill results prompts"),
    (following.export, "Try: reelmill export prompts"),
    (keeping.archive, "Try: reelmill archive prompts"),
    (keeping.prune, "Try: reelmill prune --older 30d --dry-run"),
    (steering.cancel, "Try: reelmill cancel prompts"),
    (steering.pause, "Try: reelmill pause prompts"),
    (steering.resume, "Try: reelmill resume prompts"),
    (steering.retry, "Try: reelmill retry prompts"),
    (steering.prioritize, "Try: reelmill prioritize prompts 9"),
    (policies.policy, "Try: reelmill policy prompts --weight 2 --max-failures 5%"),
    (policies.owner, "Try: reelmill owner studio --weight 2 --max-in-flight 4"),
    (forgiving.forgive, "Try: reelmill forgive gpu0@render-3"),
    (nights.window, "Try: reelmill window prompts '22:00-07:00 Europe/Vienna'"),
    (nights.plan, "Try: reelmill plan --by 07:00 --tz Europe/Vienna"),
    (farming.up, "Try: reelmill up"),
    (farming.demo, "Try: reelmill demo --dir demo examples/prompts.csv"),
    (farming.doctor, "Try: reelmill doctor"),
    (flower, FLOWER_EPILOG),
    (metrics, METRICS_EPILOG),
):
    app.command(_command.__name__, epilog=_epilog)(_command)
app.add_typer(notifying.webhook)
app.add_typer(nights.schedule, name="schedule")
_add_plugins()
