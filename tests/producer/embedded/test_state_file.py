"""The state file: one process runs a farm on a folder, and others find it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.settings import Settings
from reelmill_producer.embedded import state_file
from reelmill_producer.embedded.state_file import FarmRecord

RECORD = FarmRecord(pid=7, redis_url="redis://:secret@127.0.0.1:7/0", store_url="file:///clips", profile="tiny")


def test_a_farm_is_found_while_its_process_holds_the_folder(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")

    with state_file.hold(settings.state_dir) as ours, state_file.hold(settings.state_dir) as theirs:
        state_file.write(settings.state_dir, RECORD)
        mode = (settings.state_dir / "farm.json").stat().st_mode & 0o777
        found = state_file.attached(settings)

    assert (ours, theirs) == (True, False)
    assert (found.redis_url, found.store_url, found.profile) == (RECORD.redis_url, RECORD.store_url, "tiny")
    assert mode == 0o600
    with pytest.raises(LedgerUnavailable, match="no farm runs in"):
        state_file.attached(settings)


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 7}', "{" * 9000])
def test_a_damaged_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "farm.json").write_text(content)

    assert state_file.read(tmp_path) is None
