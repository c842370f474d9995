"""`reelmill download`: the clips that are asked for, and a refusal where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from producer.download_steps import FILES


@pytest.mark.parametrize(
    ("only", "files"),
    [
        (["shot*"], ["shot.s3.mp4"]),
        (["kind=A"], ["_con.s1.mp4", "shot.s3.mp4"]),
        (["kind=a", "seed=1"], ["_con.s1.mp4"]),
    ],
)
def test_only_what_fits_is_downloaded(
    cli: Cli, three_clips: str, tmp_path: Path, only: list[str], files: list[str]
) -> None:
    cli("download", three_clips, tmp_path / "clips", *(word for pattern in only for word in ("--only", pattern)))

    assert sorted(path.name for path in (tmp_path / "clips").glob("*.mp4")) == files


def test_a_forgotten_batch_is_downloaded_by_its_archive(cli: Cli, three_clips: str, tmp_path: Path) -> None:
    cli("prune", "--older", "0s")

    ran = cli("download", three_clips, tmp_path / "clips", "--only", "kind=*")

    assert ran.status == 0
    assert sorted(path.name for path in (tmp_path / "clips").glob("*.mp4")) == FILES


def test_what_has_no_clips_is_refused(cli: Cli, three_clips: str, tmp_path: Path) -> None:
    assert cli("download", "nowhere", tmp_path).status == 66
    assert cli("download", three_clips, tmp_path, "--only", "zebra").status == 66
    (tmp_path / "file").touch()
    assert cli("download", three_clips, tmp_path / "file").status == 78
