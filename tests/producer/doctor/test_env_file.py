"""The `.env` of a farm in containers: names that nothing reads."""

from __future__ import annotations

from pathlib import Path

from reelmill_common.findings import Severity
from reelmill_producer.doctor.env_file import env_file_findings


def test_names_that_nothing_reads_are_listed_without_their_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# REELMILL_OLD=1\nREELMILL_FARM=main\nexport REELMILL_LEASE=hunter2\n")

    (found,) = env_file_findings(tmp_path / ".env")

    assert found.level is Severity.WARN
    assert "line 3: REELMILL_LEASE is unknown" in found.found
    assert "did you mean REELMILL_LEASE_S?" in found.found
    assert "hunter2" not in found.found
    assert env_file_findings(tmp_path / "none") == []
