"""`reelmill top`: the farm at one time, on one page whatever its size."""

from __future__ import annotations

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger


def submit(ledger: Ledger, name: str, count: int, **policy: object) -> None:
    specs = (RenderSpec(prompt="a fox", seed=seed, profile="tiny") for seed in range(count))
    jobs = (RenderJob(batch=name, row=f"r{spec.seed}", spec=spec) for spec in specs)
    ledger.batches.submit(Batch(name=name, **policy), jobs)  # type: ignore[arg-type]  # a test's shorthand


def test_the_board_says_who_does_what(cli: Cli, ledger: Ledger, hand: Hand) -> None:
    submit(ledger, "night", 4, owner="ada")
    hand.finish(hand.claim())
    claimed = hand.claim()
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)

    found = cli("top", "--json").json

    assert found["workers"] == [{"worker": hand.name, "lane": "tiny", "state": "ready", "reason": ""}]
    (job,) = found["in_hand"]
    assert (job["batch"], job["row"], job["worker"]) == ("night", claimed.row, hand.name)
    assert (job["stage"], job["attempt"]) == ("denoise 2/3", 1)
    (batch,) = found["batches"]
    assert (batch["owner"], batch["total"], batch["remaining"]) == ("ada", 4, 3)
    assert batch["clips_per_h"] > 0
    assert batch["eta_s"] is not None
    assert found["waiting"] == 2
    assert found["ended"]["succeeded"] == 1


def test_what_is_left_is_the_forecast_and_not_the_rate_of_an_idle_day(cli: Cli, ledger: Ledger, hand: Hand) -> None:
    submit(ledger, "night", 5)
    hand.finish(hand.claim(), seconds={"denoise": 10.0})

    (batch,) = cli("top", "--json").json["batches"]

    assert batch["eta_s"] == 40


def test_a_batch_that_has_ended_is_counted_and_not_listed(cli: Cli, ledger: Ledger, hand: Hand) -> None:
    submit(ledger, "short", 1)
    hand.fail(hand.claim())

    found = cli("top", "--json").json

    assert found["batches"] == []
    assert found["ended_batches"] == 1
    assert found["failures"] == 1


def test_a_page_has_all_that_a_person_looks_for(cli: Cli, ledger: Ledger, hand: Hand) -> None:
    submit(ledger, "night", 2)
    hand.claim()
    ledger.batches.pause("night")

    printed = cli("top", "--once").out

    assert "1/1 workers ready" in printed
    assert "1 clips in hand" in printed
    assert hand.name in printed
    assert "paused" in printed


# -- every size --------------------------------------------------------------------------------------------------
