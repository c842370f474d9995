"""A command's connection to its farm: what it says where no farm runs, or none ever ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import program
from fixtures.embedded import state_dir
from reelmill_producer.embedded.farm import has_run

pytestmark = pytest.mark.services


def test_a_submit_without_a_farm_is_kept_for_the_next_one(embedded_env: dict[str, str], six_clips: Path) -> None:
    ran = program("submit", str(six_clips), env=embedded_env)
    watch = program("watch", "night", env=embedded_env)

    assert (ran.status, ran.out) == (0, "night\n")
    assert "no farm runs here; `reelmill up` renders what waits" in ran.err
    assert watch.status == 75
    assert "no farm runs; `reelmill up` goes on with it" in watch.err


def test_asking_a_farm_that_never_ran_makes_none(embedded_env: dict[str, str]) -> None:
    ran = program("status", env=embedded_env)

    assert ran.status == 75
    assert "no farm has run in" in ran.err
    assert not has_run(state_dir(embedded_env))


def test_a_state_folder_that_cannot_be_made_is_told(
    embedded_env: dict[str, str], six_clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    ran = program("submit", str(six_clips), env=embedded_env | {"REELMILL_STATE_DIR": str(tmp_path / "file" / "state")})

    assert ran.status == 78
    assert "cannot write the state folder" in ran.err
    assert "REELMILL_STATE_DIR" in ran.err
