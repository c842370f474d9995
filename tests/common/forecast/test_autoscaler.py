"""The number of workers that is wanted grows at once, falls after a while, and does not flap."""

from __future__ import annotations

from benchmarks.autoscale import outcomes

from common.forecast_farms import backlog, load, paces
from reelmill_common.forecast import Aims, Autoscaler

AIMS = Aims(lead_s=0, hold_s=600)


def look(scaler: Autoscaler, at_s: float, clips: int, workers: int = 0) -> int:
    return scaler.look(backlog(load("night", clips), workers=workers), paces(), at_s).get("tiny", 0)


def test_more_is_wanted_at_once_and_less_after_a_while() -> None:
    scaler = Autoscaler(AIMS)

    assert look(scaler, 0, 100) == 1
    assert look(scaler, 30, 1000) == 10
    assert look(scaler, 60, 0) == look(scaler, 629, 0) == 10
    assert look(scaler, 660.5, 0) == 0


def test_work_that_comes_and_goes_does_not_make_it_flap() -> None:
    scaler = Autoscaler(AIMS)

    seen = [look(scaler, at_s, 1000 if at_s % 400 < 200 else 0) for at_s in range(0, 4000, 20)]

    assert set(seen[2:]) == {11}


def test_a_restart_holds_the_workers_that_are_there() -> None:
    scaler = Autoscaler(AIMS)

    assert look(scaler, 5000, 10, workers=7) == 7
    assert look(scaler, 5700, 10, workers=7) == 1


def test_a_batch_has_its_target_from_when_it_could_run_and_anew_with_more_jobs() -> None:
    scaler = Autoscaler(Aims(lead_s=0, hold_s=0))
    look(scaler, 0, 1000)

    assert look(scaler, 1800, 1000) == 20
    assert look(scaler, 1801, 1001) == 11


def test_lanes_of_one_kind_of_machine_are_wanted_together_within_the_bounds() -> None:
    scaler = Autoscaler(Aims(lead_s=0, most=12, least=1))
    scaler.look(backlog(load("a", 0, left={"tiny": 500, "tiny@h100": 900}), workers=0), paces(), 0)

    assert scaler.wanted == {"tiny": 5, "tiny@h100": 9}
    assert scaler.sum_of(["tiny", "tiny@h100"]) == 12
    assert scaler.sum_of(["tiny"]) == 5
    assert scaler.sum_of(["fastwan-qad-fp8"]) == 1


def test_over_a_week_it_costs_less_than_a_fixed_number_or_a_rule_for_queues_and_misses_no_deadline() -> None:
    own, same_cost, fewest_in_time, by_queue = outcomes(seed=1)

    assert own.late == fewest_in_time.late == 0
    assert same_cost.late > 0
    assert own.gpu_hours < 0.6 * by_queue.gpu_hours < 0.6 * fewest_in_time.gpu_hours
