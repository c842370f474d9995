"""`reelmill download`: the clips that are asked for, and a refusal where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand

FILES = ["_con.s1.mp4", "owl-s2.mp4", "shot.s3.mp4"]


@pytest.fixture
def night(cli: Cli, tmp_path: Path, hand: Hand) -> str:
    """A batch of three clips and one that failed."""
    (tmp_path / "night.csv").write_text("id,prompt,seed,kind\ncon,a fox,1,a\n,an owl,2,b\nshot,a hare,3,a\nbad,x,4,\n")
    batch = cli("submit", tmp_path / "night.csv").out.strip()
    for _ in range(3):
        hand.finish(hand.claim())
    hand.fail(hand.claim())
    return batch


@pytest.mark.parametrize(
    ("only", "files"),
    [
        (["shot*"], ["shot.s3.mp4"]),
        (["kind=A"], ["_con.s1.mp4", "shot.s3.mp4"]),
        (["kind=a", "seed=1"], ["_con.s1.mp4"]),
    ],
)
def test_only_what_fits_is_downloaded(cli: Cli, night: str, tmp_path: Path, only: list[str], files: list[str]) -> None:
    cli("download", night, tmp_path / "clips", *(word for pattern in only for word in ("--only", pattern)))

    assert sorted(path.name for path in (tmp_path / "clips").glob("*.mp4")) == files


def test_a_forgotten_batch_is_downloaded_by_its_archive(cli: Cli, night: str, tmp_path: Path) -> None:
    cli("prune", "--older", "0s")

    ran = cli("download", night, tmp_path / "clips", "--only", "kind=*")

    assert ran.status == 0
    assert sorted(path.name for path in (tmp_path / "clips").glob("*.mp4")) == FILES


def test_what_has_no_clips_is_refused(cli: Cli, night: str, tmp_path: Path) -> None:
    assert cli("download", "nowhere", tmp_path).status == 66
    assert cli("download", night, tmp_path, "--only", "zebra").status == 66
    (tmp_path / "file").touch()
    assert cli("download", night, tmp_path / "file").status == 78
