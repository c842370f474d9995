"""`reelmill accounts`: GPU time, energy, bytes and money, by owner and of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, Result, Spent
from reelmill_common.prices import Prices
from reelmill_common.settings import Settings

PRICES = {"REELMILL_GPU_HOUR_PRICE": "2", "REELMILL_KWH_PRICE": "0.5", "REELMILL_CURRENCY": "EUR"}
CLIP = Result(
    key="night/r0.mp4", sha256="ab" * 32, size_bytes=2_000_000, latents_sha256="cd" * 32, gpu_s=3600, energy_j=3_600_000
)


@pytest.fixture(autouse=True)
def night(settings: Settings) -> Iterator[Ledger]:
    """A clip of Ada's whose card told its energy, one of nobody's whose card did not, and a failure of Ada's."""
    with Ledger.connect(settings) as ledger:
        hand = Hand(settings=settings, ledger=ledger)
        hand.ready()
        for batch, owner, rows in (("night", "ada", 2), ("day", "", 1)):
            jobs = [
                RenderJob(batch=batch, row=f"r{row}", spec=RenderSpec(prompt="fox", seed=row, profile="tiny"))
                for row in range(rows)
            ]
            ledger.batches.submit(Batch(name=batch, owner=owner), jobs)
        clips = {"night": CLIP, "day": replace(CLIP, energy_j=None)}
        spent = Spent(gpu_s=1800.0)
        for _ in range(3):
            claimed = hand.claim()
            if claimed.row == "r1":
                ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False, spent=spent)
            else:
                ledger.attempts.finish(claimed.job_id, claimed.token, clips[claimed.batch])
        yield ledger


def test_each_owner_has_a_line_with_what_it_owes(cli: Cli) -> None:
    ran = cli("accounts", env=PRICES)

    head, nobody, ada = (line.split() for line in ran.out.splitlines())
    assert head == ["OWNER", "CLIPS", "REUSED", "GPU", "HOURS", "KWH", "GB", "WASTED", "COST"]
    assert nobody == ["(none)", "1", "0", "1.000", "-", "0.002", "0.000", "2.00", "EUR"]
    assert ada == ["ada", "1", "0", "1.000", "1.000", "0.002", "0.500", "3.50", "EUR"]


def test_the_costs_of_a_batch_are_those_of_its_status(cli: Cli) -> None:
    account = cli("accounts", "--batch", "night", "--json", env=PRICES).json["accounts"][0]

    assert account.pop("batch") == "night"
    assert account == cli("status", "night", "--json", env=PRICES).json["account"]
    assert (account["gpu_s"], account["energy_j"], account["wasted_gpu_s"]) == (3600.0, 3_600_000.0, 1800.0)
    assert (account["cost"], account["wasted_cost"], account["currency"]) == (3.5, 1.0, "EUR")


def test_without_a_price_no_cost_is_told(cli: Cli) -> None:
    account = cli("accounts", "--owner", "ada", "--json").json["accounts"][0]

    assert (account["owner"], account["cost"], account["wasted_cost"]) == ("ada", None, None)
    assert account["wasted_energy_j"] is None  # nobody told it, and nought would be a lie


def test_owners_are_billed_for_batches_that_are_forgotten(cli: Cli, night: Ledger) -> None:
    for view in night.batches.all():
        night.retention.prune_batch(view)

    assert cli("accounts", "--owner", "ada", "--since", "7d", "--json").json["accounts"][0]["clips"] == 1
    assert cli("accounts", "--batch", "night").status == 66


@pytest.mark.parametrize(
    ("args", "status", "advice"),
    [
        pytest.param(["--since", "yesterday"], 65, "give 2026-11-01, or 7d", id="not a day"),
        pytest.param(["--since", "9999d"], 0, "", id="before all time"),
        pytest.param(["--owner", "eve"], 66, "known are (none), ada", id="an unknown owner"),
        pytest.param(["--batch", "night", "--since", "7d"], 2, "leave --since", id="days of a batch"),
    ],
)
def test_what_cannot_be_told_is_refused(cli: Cli, args: list[str], status: int, advice: str) -> None:
    ran = cli("accounts", *args)

    assert ran.status == status
    assert advice in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("prices", "energy_j", "cost"),
    [
        pytest.param(Prices(), 3_600_000, None, id="no price"),
        pytest.param(Prices(kwh=0.5), None, None, id="no reading for the only price"),
        pytest.param(Prices(kwh=0.5), 3_600_000, 0.5, id="energy alone"),
        pytest.param(Prices(gpu_hour=2), None, 2.0, id="time alone"),
        pytest.param(Prices(gpu_hour=2, kwh=0.5), 3_600_000, 2.5, id="both"),
    ],
)
def test_a_cost_is_told_as_far_as_it_is_known(prices: Prices, energy_j: float | None, cost: float | None) -> None:
    assert prices.cost(3600.0, energy_j) == cost
