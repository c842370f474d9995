"""`prune` and `archive`, and `export` of what is only in the archive."""

from __future__ import annotations

import json

from fixtures.cli import Cli
from reelmill_common.ledger import Ledger


def test_export_of_a_forgotten_batch_reads_its_archive(cli: Cli, ended: str, ledger: Ledger) -> None:
    before = cli("export", ended).out

    ran = cli("prune", "--older", "0s", "--json")

    assert ran.json["batch"] == ended
    assert ran.json["fate"] == "pruned"
    assert ran.json["archive"].startswith(f"{ended}/archive-")
    assert ledger.batches.all() == []
    after = cli("export", ended).out
    assert [without_link(line) for line in after.splitlines()] == [without_link(line) for line in before.splitlines()]


def without_link(line: str) -> dict[str, object]:
    record = json.loads(line)
    return {**record, "url": record["url"] and record["url"].partition("?")[0]}


def test_a_dry_run_forgets_nothing(cli: Cli, ended: str, ledger: Ledger) -> None:
    ran = cli("prune", "--older", "0s", "--dry-run")

    assert ran.out == f"{ended}\n"
    assert ledger.batches.get(ended).total == 3


def test_by_default_only_old_batches_are_due(cli: Cli, ended: str) -> None:
    assert cli("prune").out == ""
    assert "ended less than 30d ago" in cli("prune", "--batch", ended).err


def test_without_an_archive_an_unknown_batch_is_named(cli: Cli, ended: str) -> None:
    cli("prune", "--older", "0s", "--no-archive")

    ran = cli("export", ended)

    assert (ran.status, ran.out) == (66, "")
    assert "no archive" in ran.err


def test_a_span_that_is_none_is_refused(cli: Cli, ended: str) -> None:
    ran = cli("prune", "--older", "soon")

    assert ran.status == 65
    assert "such as 30d" in ran.err
