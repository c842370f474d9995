"""What lies on disk and would be unpickled, or hold a secret, is for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import program
from fixtures.s3 import free_port
from reelmill_common.settings import Settings


@pytest.mark.services
def test_flower_does_not_unpickle_what_others_may_have_written(settings: Settings, tmp_path: Path) -> None:
    folder = settings.state_dir / "flower"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    env = settings.to_env() | {"FLOWER_BASIC_AUTH": "me:a-long-password"}

    ran = program("flower", "--port", str(free_port()), env=env)

    assert ran.status == 78
    assert f"chmod go-w {folder}" in ran.err
    assert "a-long-password" not in ran.err
