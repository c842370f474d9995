"""Names of batches and rows: people can distinguish them, and existing ones do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_producer.cli.progress import label
from reelmill_producer.client import Reelmill
from reelmill_producer.prompts.row_names import row_name

GRID = """
- id: animals
  prompt: a {animal} in {place}
  vars: {animal: [red fox, barn owl, red-fox], place: [the snow]}
  seeds: 3
"""


def rows(ledger: Ledger, batch: str) -> list[str]:
    return [job.row for job in ledger.jobs.page(batch)]


def submit(cli: Cli, file: Path, content: str) -> str:
    file.write_text(content)
    ran = cli("submit", file, "--profile", "tiny")
    assert ran.status == 0, ran.err
    return ran.out.strip()


def test_rows_of_a_grid_are_named_by_what_varies(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    batch = submit(cli, tmp_path / "grid.yaml", GRID)

    first, second, third = rows(ledger, batch)
    assert (first, second) == ("animals-red-fox-snow-s3", "animals-barn-owl-snow-s3")
    assert third.startswith("animals-red-fox-snow-s3-")
    assert len(third) == len(first) + 9


def test_a_row_that_is_put_first_renames_no_other(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    submit(cli, tmp_path / "a.csv", "prompt\nthe fox\nan owl\n")

    submit(cli, tmp_path / "a.csv", "prompt\na fox\nan owl\nthe fox\nfox!\n")
    again = cli("submit", tmp_path / "a.csv", "--profile", "tiny", "--json").json

    names = rows(ledger, "a")
    assert names[:2] == ["fox-s1024", "owl-s1024"]
    assert [len(name) for name in names[2:]] == [18, 18]
    assert (again["added"], again["unchanged"]) == (0, 4)


def test_a_batch_of_an_earlier_version_gets_nothing_twice(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    old = [RenderSpec(prompt=prompt, profile="tiny") for prompt in ("a fox", "an owl")]
    ledger.batches.submit(Batch(name="a"), [RenderJob(batch="a", row=spec.digest, spec=spec) for spec in old])

    submit(cli, tmp_path / "a.csv", "prompt\na fox\na hare\nan owl\n")

    assert rows(ledger, "a") == [*(spec.digest for spec in old), "hare-s1024"]


def test_an_id_goes_before_a_name(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    batch = submit(cli, tmp_path / "a.csv", "id,prompt\n,a fox\nfox-s1024,an owl\n")

    assert rows(ledger, batch)[1] == "fox-s1024"
    assert rows(ledger, batch)[0].startswith("fox-s1024-")


def test_prompts_of_the_sdk_are_told_apart(settings: object, ledger: Ledger) -> None:
    with Reelmill(settings) as farm:  # type: ignore[arg-type]  # of the fixture
        ids = [farm.submit(prompt, batch="sdk") for prompt in ("a fox", "the fox", "a fox")]
        farm.submit_many(["the fox", "fox", "an owl"], batch="sdk")

    names = rows(ledger, "sdk")
    assert names[0] == "fox-s1024"
    assert names[3] == "owl-s1024"
    assert len(set(names)) == 4
    assert len(set(ids)) == 2


@pytest.mark.parametrize(("row", "shown"), [("shot", "shot seed 7"), ("fox-s7", "fox-s7")])
def test_the_seed_is_in_the_bar_in_top_and_on_the_sheet(
    cli: Cli, ledger: Ledger, hand: Hand, row: str, shown: str
) -> None:
    job = RenderJob(batch="a", row=row, spec=RenderSpec(prompt='"seed":9', seed=7, profile="tiny"))
    ledger.batches.submit(Batch(name="a"), [job])
    hand.claim()

    assert f"a/{shown}" in cli("top", "--once").out
    assert cli("top", "--json").json["in_hand"][0]["seed"] == 7
    assert label(ledger.jobs.get(job.job_id)) == shown
    long = RenderJob(batch="a", row="x" * 60, spec=RenderSpec(prompt="b", seed=8, profile="tiny"))
    ledger.batches.submit(Batch(name="a"), [long])
    assert label(ledger.jobs.get(long.job_id), 32) == "x" * 24 + "… seed 8"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (RenderSpec(prompt="the red fox", profile="tiny"), "red-fox-s1024"),
        (RenderSpec(prompt="a fox", frames=9, seed=7, decoder="wan", profile="tiny"), "fox-9f-wan-s7"),
        (RenderSpec(prompt="...", profile="tiny"), "clip-s1024"),
    ],
)
def test_a_row_is_named_after_what_it_shows(spec: RenderSpec, name: str) -> None:
    assert row_name(spec) == name
