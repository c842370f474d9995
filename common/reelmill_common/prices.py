"""Prices of GPU seconds and energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from reelmill_common.jobs import DELIVERY_STAGES
from reelmill_common.settings import Settings

JOULES_PER_KWH = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices of rendering; a price of 0 is not known, or is included in the other one.

    Attributes:
        gpu_hour: Price of a GPU hour.
        kwh: Price of a kilowatt-hour that the GPUs draw, without their hosts and the cooling.
        currency: Currency of both.
    """

    gpu_hour: float = 0.0
    kwh: float = 0.0
    currency: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the prices of the settings."""
        return cls(gpu_hour=settings.gpu_hour_price, kwh=settings.kwh_price, currency=settings.currency)

    def cost(self, gpu_s: float, energy_j: float | None) -> float | None:
        """Return the cost; None if no price applies to what is known."""
        energy_known = bool(self.kwh) and energy_j is not None
        if not self.gpu_hour and not energy_known:
            return None
        return gpu_s / 3600 * self.gpu_hour + (energy_j or 0.0) / JOULES_PER_KWH * self.kwh

    def text(self, cost: float | None) -> str:
        """Return a cost as text; empty if it is not known."""
        return "" if cost is None else f"{cost:,.2f} {self.currency}".rstrip()


def gpu_seconds(seconds: Mapping[str, float]) -> float:
    """Return the seconds, of those by stage, in which a clip had the GPU."""
    return sum(value for stage, value in seconds.items() if stage not in DELIVERY_STAGES)


def energy_text(joules: float) -> str:
    """Return an amount of energy as text, in watt-hours from 1 Wh on."""
    hours = joules / 3600
    if hours < 1:
        return f"{joules:,.0f} J"
    return f"{hours:,.1f} Wh" if hours < 1000 else f"{hours / 1000:,.2f} kWh"
