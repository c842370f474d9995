from __future__ import annotations

from reelmill_common.ledger.failure_causes import UNKNOWN, causes


def test_failures_are_grouped_by_code_the_most_frequent_first_with_the_first_message() -> None:
    errors = [
        {"code": "worker_lost", "message": "gone"},
        {"code": "bad_output", "message": "black"},
        {"code": "bad_output", "message": "frozen"},
    ]

    found = causes("night", errors)

    assert [(cause.code, cause.count, cause.message) for cause in found] == [
        ("bad_output", 2, "black"),
        ("worker_lost", 1, "gone"),
    ]


def test_what_can_only_fail_again_has_advice_instead_of_a_command() -> None:
    lost, long = causes("night", [{"code": "worker_lost"}, {"code": "prompt_too_long"}])

    assert (lost.retry, lost.advice) == ("reelmill retry night --code worker_lost", "")
    assert long.retry == ""
    assert "submit it anew, changed" in long.advice


def test_a_failure_without_a_code_has_a_stand_in() -> None:
    assert [(cause.code, cause.message) for cause in causes("night", [{}])] == [(UNKNOWN, "")]
