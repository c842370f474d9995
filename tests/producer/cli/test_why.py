"""`reelmill why`: a sentence for people, stable keys for programs."""

from __future__ import annotations

from common.ledger_steps import submit
from fixtures.cli import Cli
from reelmill_common.ledger import Ledger


def test_the_command_prints_a_sentence_or_stable_keys(cli: Cli, ledger: Ledger) -> None:
    ids = submit(ledger, "night", 1)
    ledger.batches.pause("night")

    plain, ran = cli("why", ids[0]), cli("why", ids[0], "--json")

    assert plain.out == "job night/r0 waits: batch night is paused; `reelmill resume night` lets it go on\n"
    assert set(ran.json) == {
        *("target", "state", "sentence", "cause", "since", "until", "worker", "stage", "code"),
        *("waits_for", "behind", "above", "sharing", "position", "starts_at", "finish_at", "finish_by"),
        "in_time",
    }
    assert ran.json["cause"] == "paused"


def test_an_unknown_target_is_not_found(cli: Cli, ledger: Ledger) -> None:
    submit(ledger, "night", 1)

    assert cli("why", "nobody").status == 66
