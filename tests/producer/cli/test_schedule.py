"""`window`, `schedule` and `plan`: nights, as a person steers them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fixtures.cli import Cli, program
from fixtures.hand import Hand
from reelmill_common.jobs import BatchState
from reelmill_common.ledger import Ledger
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings
from reelmill_producer.analysis.why import obstacle
from reelmill_producer.cli.schedule import deadline
from reelmill_producer.client import Reelmill

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "night.csv"
    path.write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return path


def closed_now(ledger: Ledger) -> str:
    """Return a window that is shut for the next hours."""
    hour = ledger.timetable.now().hour
    return f"{(hour + 6) % 24:02}:00-{(hour + 8) % 24:02}:00 UTC"


def test_a_batch_is_submitted_with_a_window(cli: Cli, prompts: Path, ledger: Ledger) -> None:
    ran = cli("submit", prompts, "--window", closed_now(ledger), "--json")

    assert (ran.json["state"], ran.json["window"]) == ("scheduled", closed_now(ledger))


def test_whoever_waits_for_a_batch_outside_of_its_window_hears_when_it_opens(
    cli: Cli, prompts: Path, ledger: Ledger, settings: Settings
) -> None:
    cli("submit", prompts, "--window", closed_now(ledger))

    with Reelmill(settings) as farm:
        why = obstacle(farm, "night")

    assert f"waits for its window ({closed_now(ledger)}), which opens at 20" in why


def test_whoever_waits_for_workers_that_rest_hears_so(
    cli: Cli, prompts: Path, ledger: Ledger, settings: Settings, hand: Hand
) -> None:
    cli("submit", prompts)
    Ticker(worker=hand.name, window=closed_now(ledger)).round(ledger)

    with Reelmill(settings) as farm:
        why = obstacle(farm, "night")

    assert why == "the workers of lane tiny rest outside of their hours (REELMILL_WORKER_WINDOW)"


def test_submitting_again_with_a_window_gives_the_batch_that_window(cli: Cli, prompts: Path, ledger: Ledger) -> None:
    cli("submit", prompts)

    cli("submit", prompts, "--window", closed_now(ledger))

    assert ledger.batches.get("night").state is BatchState.SCHEDULED


def test_a_wrong_window_submits_nothing(cli: Cli, prompts: Path, ledger: Ledger) -> None:
    ran = cli("submit", prompts, "--window", "at night")

    assert (ran.status, ledger.batches.all()) == (65, [])
    assert "22:00-07:00 Europe/Vienna" in ran.err


def test_a_window_is_given_and_taken(cli: Cli, prompts: Path, ledger: Ledger, hand: Hand) -> None:
    cli("submit", prompts)

    assert cli("window", "night", closed_now(ledger)).out == f"{closed_now(ledger)}\n"
    assert ledger.dispatch.pump("tiny") == []
    assert cli("window", "night", "none").out == "none\n"

    assert ledger.batches.get("night").state is BatchState.ACTIVE


def test_a_window_of_a_batch_that_is_not_there_exits_66(cli: Cli) -> None:
    assert cli("window", "dawn", "none").status == 66


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


def test_a_plan_says_what_is_not_known(cli: Cli, prompts: Path) -> None:
    cli("submit", prompts)

    ran = cli("plan", "--json")

    (batch,) = ran.json["batches"]
    assert (batch["batch"], batch["remaining"], batch["finish_at"]) == ("night", 3, None)
    assert batch["why"] == "no worker is ready for tiny"


def test_a_plan_tells_when_what_waits_is_done_and_what_will_not_be(
    cli: Cli, prompts: Path, hand: Hand, ledger: Ledger
) -> None:
    cli("submit", prompts)
    claimed = hand.claim()
    hand.finish(claimed, seconds={"denoise": 1.5})

    made = cli("plan", "--by", "07:00", "--tz", "Europe/Vienna", "--json").json
    told = cli("plan", "--by", "07:00", "--tz", "Europe/Vienna")

    (batch,) = made["batches"]
    assert batch["finish_at"] == pytest.approx(made["now"] + 3.0, abs=0.1)
    assert (batch["left"], made["left"]) == (0, 0)
    assert made["lanes"][0]["clips_per_hour"] == pytest.approx(2400)
    assert "all will be done by" in told.err


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        pytest.param("18:00", UTC, datetime(2026, 7, 1, 18, tzinfo=UTC), id="later today"),
        pytest.param("07:00", UTC, datetime(2026, 7, 2, 7, tzinfo=UTC), id="tomorrow"),
        pytest.param("2026-12-24T07:00", UTC, datetime(2026, 12, 24, 7, tzinfo=UTC), id="a day"),
    ],
)
def test_a_deadline_is_the_next_time_that_the_clock_shows(text: str, zone: None, expected: datetime) -> None:
    assert deadline(text, NOW, zone) == expected


def test_what_is_no_deadline_is_refused(cli: Cli, prompts: Path) -> None:
    cli("submit", prompts)

    ran = cli("plan", "--by", "tonight")

    assert (ran.status, "use 07:00" in ran.err) == (65, True)
