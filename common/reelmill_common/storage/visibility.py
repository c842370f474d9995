"""Waiting for a store that shows an object only some time after its put, as Swift and older Ceph gateways may."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

VISIBLE_S = 30.0
"""Seconds after which a store that answered a put with 200 and shows no object is believed not to have it."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


def until_shown(look: Callable[[], T | None]) -> T | None:
    """Look until there is something to see; None after `VISIBLE_S`."""
    deadline, pause = time.monotonic() + VISIBLE_S, FIRST_PAUSE_S
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    return found
