"""The head of a YAML prompt file: policy that a file brings along, for `submit` and for schedules."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fixtures.cli import Cli
from reelmill_common.calendar.cron import Cron
from reelmill_common.ledger import Ledger
from reelmill_common.schedules import Schedule

JOBS = "jobs:\n- {id: fox, prompt: a fox}\n- {id: owl, prompt: an owl}\n"
HEAD = """\
batch:
  priority: 7
  weight: 3
  owner: studio
  max-in-flight: 2
  max-failures: 5%
  window: 00:00-24:00 UTC
  start-after: none
  expires: 8h
  after: [first]
  after-any: second
  class: h100
"""


@pytest.fixture
def night(tmp_path: Path) -> Path:
    path = tmp_path / "night.yaml"
    path.write_text(HEAD + JOBS)
    return path


@pytest.fixture
def before(cli: Cli, tmp_path: Path) -> None:
    """The batches that the file waits for."""
    for name in ("first", "second"):
        (tmp_path / f"{name}.txt").write_text("a newt\n")
        cli("submit", tmp_path / f"{name}.txt")


@pytest.mark.usefixtures("before")
def test_a_file_brings_its_policy_along(cli: Cli, night: Path, ledger: Ledger) -> None:
    assert cli("submit", night).status == 0

    view = ledger.batches.get("night")
    assert (view.priority, view.weight, view.owner, view.max_in_flight) == (7, 3, "studio", 2)
    assert (view.max_failures, view.window, view.worker_class) == ("5%", "00:00-24:00 UTC", "h100")
    assert (list(view.after), list(view.after_any), view.start_after) == (["first"], ["second"], 0.0)
    assert abs(view.expires_at - time.time() - 8 * 3600) < 120


@pytest.mark.usefixtures("before")
def test_an_option_wins_over_the_file_and_leaves_the_rest_of_it(cli: Cli, night: Path, ledger: Ledger) -> None:
    options = ["--priority", "2", "--owner", "ann", "--max-in-flight", "0", "--after", "second", "--expires", "none"]

    assert cli("submit", night, *options).status == 0

    view = ledger.batches.get("night")
    assert (view.priority, view.owner, view.max_in_flight, view.expires_at) == (2, "ann", 0, 0.0)
    assert (list(view.after), list(view.after_any), view.weight) == (["second"], ["second"], 3)


@pytest.mark.usefixtures("before")
def test_a_file_that_is_submitted_again_gives_its_policy_again(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night)
    cli("prioritize", "night", "1")
    night.write_text(HEAD.replace("weight: 3", "weight: 5") + JOBS)

    cli("submit", night)

    assert (ledger.batches.get("night").priority, ledger.batches.get("night").weight) == (7, 5)


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        pytest.param("priority: 7", "priority: urgent", "line 2: batch: priority 'urgent' is not a whole", id="value"),
        pytest.param("owner:", "user:", "line 4: batch: unknown key 'user'", id="key"),
        pytest.param("[first]", "night", "line 1: batch: batch 'night' cannot wait for itself", id="itself"),
        pytest.param("start-after: none", "start-after: 9h", "line 1: batch: expires_at=", id="never"),
    ],
)
def test_a_wrong_head_is_refused_and_nothing_is_enqueued(
    cli: Cli, night: Path, ledger: Ledger, old: str, new: str, advice: str
) -> None:
    night.write_text(HEAD.replace(old, new) + JOBS)

    dry, ran = cli("submit", night, "--dry-run"), cli("submit", night, "--skip-invalid")

    assert (dry.status, ran.status, ledger.batches.all()) == (65, 65, [])
    assert f"error: {night}: {advice}" in ran.err
    assert "; nothing was submitted" in dry.err


def test_a_dry_run_says_the_policy(cli: Cli, night: Path, ledger: Ledger) -> None:
    ran = cli("submit", night, "--dry-run", "--weight", "9")

    assert ran.status == 0
    assert "priority 7, window 00:00-24:00 UTC, owner studio, weight 9," in ran.err
    assert "expires 8h, after first" in ran.err
    assert ledger.batches.all() == []


@pytest.mark.usefixtures("before")
def test_each_run_of_a_schedule_has_the_policy_of_the_file(cli: Cli, night: Path, ledger: Ledger) -> None:
    added = cli("schedule", "add", "0 22 * * *", night, "--tz", "Europe/Vienna", "--weight", "4", "--json")
    night.unlink()

    view = ledger.batches.get(cli("schedule", "run", "night").out.split()[-1])

    assert added.json["policy"]["expires_at"] == "8h"
    assert (view.priority, view.weight, view.owner, view.worker_class) == (7, 4, "studio", "h100")
    assert (list(view.after), view.window) == (["first"], "00:00-24:00 UTC")
    assert abs(view.expires_at - time.time() - 8 * 3600) < 120


def test_a_time_of_day_is_that_of_the_schedules_zone_at_each_run() -> None:
    schedule = Schedule(
        name="night",
        cron=Cron.parse("0 22 * * *", "Europe/Vienna"),
        policy={"start_after": "1h", "expires_at": "07:00 Europe/Vienna"},
    )

    winter = schedule.batch(datetime(2026, 1, 10, 21, tzinfo=UTC))
    change = schedule.batch(datetime(2026, 3, 28, 21, tzinfo=UTC))

    assert winter.start_after == datetime(2026, 1, 10, 22, tzinfo=UTC).timestamp()
    assert winter.expires_at == datetime(2026, 1, 11, 6, tzinfo=UTC).timestamp()
    assert change.expires_at == datetime(2026, 3, 29, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        pytest.param("8h", "2199-12-24T07:00", "does not count from the time of a run", id="one time for all runs"),
        pytest.param("start-after: none", "start-after: 9h", "line 1: batch: expires_at=", id="never"),
        pytest.param("weight: 3", "weight: 0", "line 3: batch: weight=0 is out of range", id="value"),
    ],
)
def test_a_head_that_no_run_could_have_is_refused(
    cli: Cli, night: Path, ledger: Ledger, old: str, new: str, advice: str
) -> None:
    night.write_text(HEAD.replace(old, new) + JOBS)

    ran = cli("schedule", "add", "0 22 * * *", night, "--tz", "UTC")

    assert (ran.status, ledger.schedules.all()) == (65, [])
    assert advice in ran.err


def test_a_run_that_should_wait_for_what_is_not_there_says_so(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("schedule", "add", "0 22 * * *", night, "--tz", "UTC")

    ran = cli("schedule", "run", "night")

    assert (ran.status, ledger.batches.all()) == (65, [])
    assert "should wait for 'first', which is not there" in ran.err
    assert "last run failed" in cli("schedule", "show", "night").out
