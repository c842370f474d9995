"""`reelmill top`: the farm at one moment, on one page whatever its size."""

from __future__ import annotations

import io

from rich.console import Console

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.board import PAGE
from reelmill_producer.cli.top import page


def submit(ledger: Ledger, name: str, count: int, **policy: object) -> None:
    specs = (RenderSpec(prompt="a fox", seed=seed, profile="tiny") for seed in range(count))
    jobs = (RenderJob(batch=name, row=f"r{spec.seed}", spec=spec) for spec in specs)
    ledger.submit(Batch(name=name, **policy), jobs)  # type: ignore[arg-type]  # a test's shorthand


def test_the_board_says_who_does_what(cli: Cli, ledger: Ledger, hand: Hand) -> None:
    submit(ledger, "night", 4, owner="ada")
    hand.finish(hand.claim())
    claimed = hand.claim()
    ledger.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)

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
    ledger.pause_batch("night")

    told = cli("top", "--once").out

    assert "1/1 workers ready" in told
    assert "1 clips in hand" in told
    assert hand.name in told
    assert "paused" in told


def test_what_does_not_fit_is_counted_in_the_title(ledger: Ledger) -> None:
    for index in range(PAGE + 7):
        submit(ledger, f"batch-{index}", 1, priority=index % 10)
    for index in range(30):
        ledger.register(f"gpu{index}@host", "tiny", {})

    board = ledger.board()
    drawn = io.StringIO()
    Console(file=drawn, width=120, height=40).print(page(board, lines=40))

    assert len(board.batches) == PAGE + 7
    assert [batch.priority for batch in board.batches] == sorted((i % 10 for i in range(PAGE + 7)), reverse=True)
    assert f"of {PAGE + 7})" in drawn.getvalue()
    assert "of 30)" in drawn.getvalue()
    assert len(drawn.getvalue().splitlines()) <= 40


def test_a_hostile_name_draws_nothing_of_its_own(ledger: Ledger) -> None:
    submit(ledger, "night", 1, owner="[red]x[/red]")

    drawn = io.StringIO()
    Console(file=drawn, width=120).print(page(ledger.board(), lines=40))

    assert "[red]x[/red]" in drawn.getvalue()
