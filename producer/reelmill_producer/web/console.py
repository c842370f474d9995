"""`Console`: what all requests of one process share."""

from __future__ import annotations

from dataclasses import dataclass, field

from anyio import CapacityLimiter

from reelmill_common.settings import Settings
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.events import EventFeed
from reelmill_producer.web.forecasts import Forecaster

SUBMISSIONS = 8
VERIFICATIONS = 2
"""Each is a process of up to a minute of CPU."""


@dataclass(slots=True, kw_only=True)
class Console:
    """The shared parts of the console.

    Attributes:
        settings: Settings, with what the command line said.
        is_open: Whether everyone who reaches it is an operator.
        connection: The farm.
        feed: Its events.
        forecaster: Its forecast.
        submissions: What bounds the submissions that are worked on at once, so that long files leave threads to others.
        verifications: What bounds the clips that are verified at once.
    """

    settings: Settings
    is_open: bool
    connection: FarmConnection
    feed: EventFeed = field(init=False)
    forecaster: Forecaster = field(default_factory=Forecaster)
    submissions: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(SUBMISSIONS))
    verifications: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(VERIFICATIONS))

    def __post_init__(self) -> None:
        self.feed = EventFeed(self.connection, most_followers=self.settings.console_followers)
