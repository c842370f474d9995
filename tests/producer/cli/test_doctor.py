"""`reelmill doctor`: what it found, what it names, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

from fixtures.cli import Cli, program
from reelmill_common.settings import Settings


def test_doctor_lists_what_it_found(cli: Cli) -> None:
    ran = cli("doctor", "--json")
    plain = cli("doctor")

    checks = {finding["check"]: finding["level"] for finding in ran.json["findings"]}
    assert {"store", "model"} <= set(checks)
    assert any(name.startswith("redis") for name in checks)
    assert ran.status == (78 if "fail" in checks.values() else 0)
    for name in checks:
        assert f"{name}: " in plain.out


def test_doctor_names_what_nothing_reads_in_an_env_file_without_its_values(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# REELMILL_OLD=1\nREDIS_PASSWORD=hunter2\nexport REELMILL_LEASE=hunter2\n"
        "REELMILL_FARM=main\nreelmil_smtp_url=hunter2\n"
    )

    ran = program("doctor", env=settings.to_env(), cwd=tmp_path)

    printed = " ".join(ran.out.split())
    assert f"warn env file: {tmp_path}/.env: line 3: REELMILL_LEASE is unknown" in printed
    assert (
        "did you mean REELMILL_LEASE_S?; line 5: reelmil_smtp_url is not read; did you mean REELMILL_SMTP_URL?"
        in printed
    )
    assert "hunter2" not in ran.out + ran.err


def test_doctor_exits_78_when_redis_does_not_answer(settings: Settings) -> None:
    ran = program("doctor", "--json", env=settings.to_env() | {"REELMILL_REDIS_URL": "redis://:hush@127.0.0.1:1/0"})

    found = json.loads(ran.out)
    assert ran.status == 78
    assert found["worst"] == "fail"
    assert "127.0.0.1:1" in ran.out
    assert "hush" not in ran.out + ran.err
