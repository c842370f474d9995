"""`plan`: when each batch is done, and what is not known."""

from __future__ import annotations

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger


def test_a_plan_says_what_is_not_known(cli: Cli, night: str) -> None:
    ran = cli("plan", "--json")

    (batch,) = ran.json["batches"]
    assert (batch["batch"], batch["remaining"], batch["finish_at"]) == ("night", 3, None)
    assert batch["why"] == "no worker is ready for tiny"


def test_a_plan_tells_when_what_waits_is_done_and_what_will_not_be(
    cli: Cli, night: str, hand: Hand, ledger: Ledger
) -> None:
    claimed = hand.claim()
    hand.finish(claimed, seconds={"denoise": 1.5})

    made = cli("plan", "--by", "07:00", "--tz", "Europe/Vienna", "--json").json
    printed = cli("plan", "--by", "07:00", "--tz", "Europe/Vienna")

    (batch,) = made["batches"]
    assert batch["finish_at"] == pytest.approx(made["now"] + 3.0, abs=0.1)
    assert (batch["left"], made["left"]) == (0, 0)
    assert made["lanes"][0]["clips_per_hour"] == pytest.approx(2400)
    assert "all will be done by" in printed.err


def test_an_end_that_is_not_a_time_is_refused(cli: Cli, night: str) -> None:
    ran = cli("plan", "--by", "tonight")

    assert (ran.status, "give 07:00" in ran.err) == (65, True)
