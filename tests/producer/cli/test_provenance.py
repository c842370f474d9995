"""`provenance init`: files that sign, settings to paste, and a warning that nobody knows the signer."""

from __future__ import annotations

from pathlib import Path

from fixtures.cli import Cli
from reelmill_common.provenance.identity import load
from reelmill_common.settings import Settings


def test_a_certificate_for_trials_is_made_with_the_settings_that_name_it(cli: Cli, tmp_path: Path) -> None:
    done = cli("provenance", "init", "--dir", str(tmp_path / "keys"), "--days", "30")

    settings = Settings.from_env(dict(line.split("=", 1) for line in done.out.splitlines()))
    assert load(settings).name.startswith("Reelmill farm ")
    assert settings.provenance_trust == str(tmp_path / "keys" / "authority.pem")
    assert "unknown signer" in done.err
    assert (tmp_path / "keys" / "key.pem").stat().st_mode & 0o077 == 0
    assert "PRIVATE KEY" not in done.out + done.err


def test_keys_that_are_there_are_not_replaced(cli: Cli, tmp_path: Path) -> None:
    cli("provenance", "init", "--dir", str(tmp_path))
    before = (tmp_path / "key.pem").read_bytes()

    again = cli("provenance", "init", "--dir", str(tmp_path))

    assert (again.status, "would be replaced" in again.err) == (78, True)
    assert (tmp_path / "key.pem").read_bytes() == before
