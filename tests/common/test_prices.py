from __future__ import annotations

import pytest

from reelmill_common.prices import Prices, energy_text, gpu_seconds


@pytest.mark.parametrize(
    ("prices", "energy_j", "cost"),
    [
        (Prices(), 3_600_000.0, None),
        (Prices(gpu_hour=2.0), None, 1.0),
        (Prices(kwh=0.5), None, None),
        (Prices(kwh=0.5), 3_600_000.0, 0.5),
        (Prices(gpu_hour=2.0, kwh=0.5), 3_600_000.0, 1.5),
    ],
)
def test_half_an_hour_of_a_gpu_costs_what_its_prices_say(
    prices: Prices, energy_j: float | None, cost: float | None
) -> None:
    assert prices.cost(1800.0, energy_j) == cost


def test_delivery_costs_no_gpu() -> None:
    assert gpu_seconds({"encode_text": 1.0, "denoise 1/3": 2.0, "decode": 3.0, "mux": 10.0, "upload": 20.0}) == 6.0


def test_energy_has_a_unit_that_people_can_read() -> None:
    assert [energy_text(joules) for joules in (900, 36_000, 7_200_000)] == ["900 J", "10.0 Wh", "2.00 kWh"]
