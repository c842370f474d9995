"""The name of the batch that a file goes to: one for each file, and the one that an earlier version gave it."""

from __future__ import annotations

from pathlib import Path

from fixtures.cli import Cli
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger


def submit(cli: Cli, file: Path, content: str) -> str:
    file.write_text(content)
    ran = cli("submit", file, "--profile", "tiny")
    assert ran.status == 0, ran.err
    return ran.out.strip()


def test_two_files_whose_names_look_alike_have_a_batch_each(cli: Cli, tmp_path: Path) -> None:
    first = submit(cli, tmp_path / "Night Shift.txt", "a fox\n")
    second = submit(cli, tmp_path / "night_shift!.txt", "a fox\n")
    third = submit(cli, tmp_path / "夜班.txt", "a fox\n")
    fourth = submit(cli, tmp_path / ("long " * 20 + "a.txt"), "a fox\n")
    fifth = submit(cli, tmp_path / ("long " * 20 + "b.txt"), "a fox\n")

    assert (first, third) == ("night-shift", "ye-ban")
    assert len({first, second, third, fourth, fifth}) == 5
    assert submit(cli, tmp_path / "Night Shift.txt", "a fox\nan owl\n") == first
    assert submit(cli, tmp_path / "night_shift!.txt", "a fox\nan owl\n") == second


def test_the_batch_of_an_earlier_version_is_found_by_its_rows(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    spec = RenderSpec(prompt="a fox", profile="tiny")
    for name in ("f-chse", "night"):
        ledger.batches.submit(Batch(name=name), [RenderJob(batch=name, row=spec.digest, spec=spec)])

    assert submit(cli, tmp_path / "Füchse.txt", "a fox\n") == "f-chse"
    assert submit(cli, tmp_path / "night.txt", "an owl\n") == "night"
    assert submit(cli, tmp_path / "Night.txt", "a hare\n") != "night"
