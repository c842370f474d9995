"""The command `doctor`: everything that a farm stands on, checked, with advice."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.errors import InvalidSettings
from reelmill_producer.cells.placement import served
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import read_settings
from reelmill_producer.doctor import checks
from reelmill_producer.outputs.records import record_of


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
    findings = checks.examine_gpu(gpu) if gpu else checks.examine(served(read_settings()), deep=deep)
    if json:
        print_json(
            {
                "worst": checks.worst(findings).value,
                "findings": [record_of(finding, "check=name level found advice") for finding in findings],
            }
        )
    else:
        for finding in findings:
            advice = f"\n        {finding.advice}" if finding.advice else ""
            typer.echo(f"{finding.level.value:<5} {finding.name}: {finding.found}{advice}")
    if checks.worst(findings) is checks.Severity.FAIL:
        raise typer.Exit(InvalidSettings.exit_status)
