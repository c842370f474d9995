"""`--class`: who is asked for, what is said where nobody is there, and what `why` makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from reelmill_common.ledger import Ledger, WorkerInfo


@pytest.fixture
def night(tmp_path: Path) -> Path:
    path = tmp_path / "night.txt"
    path.write_text("a fox\nan owl\n")
    return path


def start(ledger: Ledger, worker: str, *classes: str) -> None:
    lanes = [*(f"tiny@{name}" for name in classes), "tiny"]
    ledger.workers.register(worker, "tiny", WorkerInfo(pid=1), lanes=lanes)
    ledger.workers.ready(worker, WorkerInfo(pid=1), lanes=lanes)


def test_submit_pins_a_batch_and_warns_of_a_class_that_no_worker_ever_had(
    cli: Cli, night: Path, ledger: Ledger
) -> None:
    start(ledger, "gpu0@a", "h100", "studio")

    ran = cli("submit", night, "--profile", "tiny", "--class", "h1000", "--json")

    assert ran.status == 0
    assert ran.json["worker_class"] == "h1000"
    assert {job.lane for job in ledger.jobs.page("night")} == {"tiny@h1000"}
    assert "no worker of class h1000 has ever worked for tiny" in ran.err
    assert "known classes: h100, studio" in ran.err


def test_a_class_that_a_worker_has_had_is_no_reason_to_warn(cli: Cli, night: Path, ledger: Ledger) -> None:
    start(ledger, "gpu0@a", "h100")
    ledger.workers.retire("gpu0@a")

    ran = cli("submit", night, "--profile", "tiny", "--class", "h100")

    assert "has ever worked" not in ran.err


def test_a_batch_cannot_be_given_another_class(cli: Cli, night: Path) -> None:
    cli("submit", night, "--profile", "tiny", "--class", "h100")

    ran = cli("submit", night, "--profile", "tiny", "--class", "studio")

    assert ran.status == 65
    assert "is for h100 worker class, not 'studio', which cannot be changed" in ran.err


def test_why_names_the_class_that_is_missing(cli: Cli, night: Path, ledger: Ledger) -> None:
    start(ledger, "gpu0@a", "studio")
    cli("submit", night, "--profile", "tiny", "--class", "h100")

    ran = cli("why", "night")

    assert "no worker of class h100 is ready" in ran.out
    assert "(there are: studio)" in ran.out


def test_plan_does_not_count_on_workers_of_another_class(cli: Cli, night: Path, ledger: Ledger) -> None:
    start(ledger, "gpu0@a", "studio")
    cli("submit", night, "--profile", "tiny", "--class", "h100")

    ran = cli("plan", "--json")

    assert {lane["lane"]: lane["workers"] for lane in ran.json["lanes"]} == {"tiny": 1, "tiny@h100": 0}


def test_a_class_that_cannot_be_one_is_refused_with_the_nearest_that_can(cli: Cli, night: Path) -> None:
    ran = cli("submit", night, "--profile", "tiny", "--class", "RTX 4090")

    assert ran.status == 65
    assert "for example 'rtx-4090'" in ran.err


def test_a_profile_that_no_worker_has_ever_served_is_told(cli: Cli, night: Path, ledger: Ledger) -> None:
    start(ledger, "gpu0@a")

    ran = cli("submit", str(night), "--profile", "fastwan-qad-fp8")

    assert ran.status == 0
    assert (
        "no worker has ever worked for fastwan-qad-fp8; its clips wait until one does (known profiles: tiny)" in ran.err
    )
