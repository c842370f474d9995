"""`schedule …`: files that are submitted again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli, program
from reelmill_common.jobs import BatchState
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "night.csv"
    path.write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return path


def closed_now(ledger: Ledger) -> str:
    """Return a window that is shut for the next hours."""
    hour = ledger.timetable.now().hour
    return f"{(hour + 6) % 24:02}:00-{(hour + 8) % 24:02}:00 UTC"


def test_a_schedule_is_added_listed_shown_and_removed(cli: Cli, prompts: Path) -> None:
    ran = cli(
        "schedule", "add", "0 22 * * *", prompts, "--tz", "Europe/Vienna", "--priority", "2", "--max-failures", "5%"
    )
    listed = cli("schedule", "list", "--json").json["schedules"]
    shown = cli("schedule", "show", "night")

    assert ran.out == "night\n"
    assert "3 jobs at each run; the first is " in ran.err
    assert [(item["schedule"], item["jobs"], item["policy"]) for item in listed] == [
        ("night", 3, {"priority": 2, "max_failures": "5%"})
    ]
    assert "0 22 * * * Europe/Vienna, 3 jobs" in shown.out
    assert "0 22 * * *" in cli("schedule", "list").out
    assert cli("schedule", "remove", "night").out == "removed\n"
    assert cli("schedule", "list").out == "no schedules\n"


def test_a_schedule_run_by_hand_submits_the_file_as_it_was(
    cli: Cli, prompts: Path, ledger: Ledger, settings: Settings
) -> None:
    cli("schedule", "add", "0 22 * * *", prompts, "--tz", "UTC", "--window", closed_now(ledger))
    prompts.unlink()

    ran = program("schedule", "run", "night", env=settings.to_env())

    view = ledger.batches.get(ran.out.strip())
    assert (view.total, view.window, view.state) == (3, closed_now(ledger), BatchState.SCHEDULED)


def test_a_schedule_pauses_and_resumes(cli: Cli, prompts: Path) -> None:
    cli("schedule", "add", "0 22 * * *", prompts, "--tz", "UTC")

    paused = cli("schedule", "pause", "night", "--json").json
    resumed = cli("schedule", "resume", "night", "--json").json

    assert (paused["paused"], paused["next_at"]) == (True, None)
    assert (resumed["paused"], resumed["next_at"] is None) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        pytest.param(["at night", "--tz", "UTC"], "use five fields", id="no cron expression"),
        pytest.param(["0 22 * * *", "--tz", "Europe/Wien"], "Europe/Vienna or UTC", id="no zone"),
        pytest.param(["0 22 * * *", "--tz", "UTC", "--catch-up", "all"], "known are skip, once", id="no rule"),
        pytest.param(["0 22 * * *", "--tz", "UTC", "--name", "a b"], "not usable", id="no name"),
        pytest.param(["0 22 * * *", "--tz", "UTC", "--window", "x"], "hours and a time zone", id="no window"),
    ],
)
def test_a_wrong_schedule_is_refused_with_advice(cli: Cli, prompts: Path, arguments: list[str], advice: str) -> None:
    ran = cli("schedule", "add", arguments[0], prompts, *arguments[1:])

    assert ran.status == 65
    assert advice in ran.err
    assert cli("schedule", "list").out == "no schedules\n"


def test_a_schedule_of_a_file_with_bad_lines_is_refused(cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id,prompt,frames\nfox,a fox,82\n")

    ran = cli("schedule", "add", "0 22 * * *", bad, "--tz", "UTC")

    assert ran.status == 65
    assert "line 2" in ran.err


def test_a_name_that_is_taken_is_refused_unless_it_shall_be_replaced(cli: Cli, prompts: Path) -> None:
    cli("schedule", "add", "0 22 * * *", prompts, "--tz", "UTC")
    prompts.write_text("prompt\na newt\n")

    refused = cli("schedule", "add", "0 23 * * *", prompts, "--tz", "UTC")
    replaced = cli("schedule", "add", "0 23 * * *", prompts, "--tz", "UTC", "--replace", "--json")

    assert (refused.status, "--replace" in refused.err) == (65, True)
    assert (replaced.json["cron"], replaced.json["jobs"]) == ("0 23 * * *", 1)


@pytest.mark.parametrize("verb", ["show", "remove", "pause", "resume", "run"])
def test_a_schedule_that_is_not_there_exits_66(cli: Cli, verb: str) -> None:
    ran = cli("schedule", verb, "dawn")

    assert ran.status == 66
    assert "reelmill schedule list" in ran.err
