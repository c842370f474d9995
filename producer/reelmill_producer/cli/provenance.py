"""The command `provenance init`: a certificate for trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.atomic_file import write_atomically
from reelmill_common.config.extras import require_extra
from reelmill_common.errors import InvalidSettings
from reelmill_common.provenance.authority import AUTHORITY_DAYS, SIGNER_DAYS, issue
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import read_settings

provenance = typer.Typer(no_args_is_help=True, help="Signed and recognised clips: see docs/marking.md.")

UNKNOWN = (
    "others will show what it signs as made by an unknown signer: it is for trials. For clips that leave the house, "
    "get a certificate from an authority on the C2PA trust list"
)


@provenance.command("init", epilog="Try: reelmill provenance init --dir keys")
def init(
    *,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Folder for the files. Default: `provenance` in the state folder.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days that the certificate is valid.")] = SIGNER_DAYS,
    json: Json = False,
) -> None:
    """Make an authority of your own and a certificate that clips are signed with, for trials.

    Prints the settings that name the files. Files that are there are not replaced.
    """
    require_extra("provenance", "reelmill provenance init")
    settings = read_settings()
    folder = (folder or settings.state_dir / "provenance").expanduser().absolute()
    files = {name: folder / f"{name}.pem" for name in ("authority", "certificate", "key")}
    if there := [str(path) for path in files.values() if path.exists()]:
        raise InvalidSettings(f"{', '.join(there)} would be replaced; name another folder with --dir, or move it away")
    issued = issue(settings.farm, days=days)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(files["key"], issued.key, mode=0o600)
        write_atomically(files["certificate"], issued.certificate)
        write_atomically(files["authority"], issued.authority)
    except OSError as err:
        raise InvalidSettings(f"{folder} cannot be written ({err.strerror}); name another folder with --dir") from err
    variables = {
        "REELMILL_PROVENANCE_CERTIFICATE": str(files["certificate"]),
        "REELMILL_PROVENANCE_KEY": str(files["key"]),
        "REELMILL_PROVENANCE_TRUST": str(files["authority"]),
    }
    if json:
        print_json({"settings": variables, "days": days, "authority_days": AUTHORITY_DAYS})
    else:
        for name, value in variables.items():
            typer.echo(f"{name}={value}")
    inform(f"certificate for {days} days in {folder}; {UNKNOWN}")
