"""Untrusted text on a terminal and in logs: it is shown, and controls nothing."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from fixtures.cli import Cli, cli  # noqa: F401 - a fixture
from fixtures.hand import Hand
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.top import page
from reelmill_worker import logs

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nbatch night: succeeded\u202e\u2028x"
STEERING = set("\x00\x07\x1b\x7f\x9b\r\u202e\u2028")


def steers(text: str) -> set[str]:
    return STEERING & set(text)


@pytest.fixture
def night(cli: Cli, settings: Settings, tmp_path: Path) -> Ledger:  # noqa: F811 - the fixture
    """A batch that a hostile worker has failed, with the worst message."""
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\n")
    cli("submit", tmp_path / "night.csv")
    ledger = Ledger.connect(settings)
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    hand.fail(hand.claim(), message=HOSTILE)
    ledger.workers.quarantine("hand@test", HOSTILE)
    return ledger


@pytest.mark.services
@pytest.mark.parametrize(
    "args",
    [
        ["status"],
        ["status", "night"],
        ["status", "--json"],
        ["why", "night"],
        ["why", "night", "--json"],
        ["export", "night"],
        ["report", "night"],
        ["top", "--once"],
        ["policy", "night"],
        ["watch", "night", "--json"],
    ],
    ids=" ".join,
)
def test_an_errors_message_steers_no_terminal(cli: Cli, night: Ledger, args: list[str]) -> None:  # noqa: F811
    night.batches.cancel("night")

    ran = cli(*args)

    assert ran.out + ran.err
    assert steers(ran.out + ran.err) == set()
    assert "\nbatch night: succeeded" not in ran.out + ran.err


@pytest.mark.services
def test_a_failed_job_shows_its_message_in_one_line(cli: Cli, night: Ledger) -> None:  # noqa: F811
    (job,) = [job for job in night.jobs.page("night") if job.error]

    shown = cli("status", job.job_id).out

    assert f"  last error: bad_output: {printable(HOSTILE)}\n" in shown


@pytest.mark.services
def test_an_owner_with_hidden_characters_is_refused_everywhere(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "night.txt").write_text("a fox\n")

    submitted = cli("submit", tmp_path / "night.txt", "--owner", HOSTILE[-30:])
    changed = cli("owner", "\x1b[2J", "--weight", "2")

    assert (submitted.status, changed.status) == (65, 65)
    assert "characters that cannot be seen" in submitted.err
    assert steers(submitted.err + changed.err) == set()
    assert cli("status").out.startswith("no batches")
    for owner in ("\x7f", "a\u202eb", "line\nline", "\x9b"):
        with pytest.raises(InvalidJob, match="cannot be seen"):
            Batch(name="x", owner=owner)


@pytest.mark.services
def test_the_board_of_top_is_steered_by_no_worker(night: Ledger) -> None:
    drawn = io.StringIO()

    Console(file=drawn, width=200).print(page(night.overview.snapshot(), lines=40))

    assert "owned" in drawn.getvalue()
    assert steers(drawn.getvalue()) == set()


@pytest.mark.services
@pytest.mark.parametrize("name", ["../x", "/etc", "a\\b", "a\0b", "A", "x" * 65, "a\nb", "\x1b[2J", "%2e%2e", " "])
def test_a_name_that_leads_elsewhere_is_refused_by_every_command(cli: Cli, tmp_path: Path, name: str) -> None:  # noqa: F811
    (tmp_path / "night.txt").write_text("a fox\n")
    (tmp_path / "ids.jsonl").write_text(json.dumps({"id": name, "prompt": "a fox"}) + "\n")
    cron = ["schedule", "add", "0 22 * * *", tmp_path / "night.txt", "--tz", "UTC", "--name", name]

    ran = [
        cli("submit", tmp_path / "night.txt", "--batch", name),
        cli("submit", tmp_path / "ids.jsonl"),
        cli(*cron),
        cli("archive", name),
        cli("report", name),
        cli("export", name),
    ]

    id_is_legible = name in {"A", " "}  # a row's id is written as people do: `a`, and a blank cell is none
    assert [item.status for item in ran[:3]] == [65, 0 if id_is_legible else 65, 65]
    assert {item.status for item in ran[3:]} <= {65, 66}
    assert steers("".join(item.err for item in ran)) == set()
    assert cli("status").out.startswith("no batches") != id_is_legible


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_record_forges_a_line_of_the_log(form: str) -> None:
    stream = io.StringIO()
    before = structlog.get_config(), logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logs.configure(level="info", form=form, stream=stream)  # type: ignore[arg-type]
        structlog.get_logger().error("clip.failed", error=HOSTILE, row=HOSTILE)
        logging.getLogger("library").warning("it said %s", HOSTILE)
        try:
            raise ValueError(HOSTILE)  # noqa: TRY301 - here it shall be caught
        except ValueError:
            logging.getLogger("library").exception("it broke: %s", HOSTILE)
    finally:
        structlog.configure(**before[0])
        logging.getLogger().handlers[:] = before[1]
        logging.getLogger().setLevel(before[2])

    lines = stream.getvalue().splitlines()
    assert steers(stream.getvalue()) == set()
    assert len([line for line in lines if "said" in line or "broke" in line or "clip.failed" in line]) == 3
    if form == "json":
        assert [json.loads(line)["level"] for line in lines] == ["error", "warning", "error"]
        assert json.loads(lines[0])["error"] == HOSTILE
