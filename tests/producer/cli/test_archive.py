"""`reelmill archive`: the key of what is in the store."""

from __future__ import annotations

from fixtures.cli import Cli


def test_archive_prints_the_key_of_what_is_in_the_store(cli: Cli, ended: str) -> None:
    first, again = cli("archive", ended), cli("archive", ended, "--json")

    assert again.json["key"] == first.out.strip()
