"""Cursors: where the next page of a list begins, as a text that a client hands back unread."""

from __future__ import annotations

import base64
import json
from typing import Any

from reelmill_producer.web.problems import Refusal

MOST = 1000
"""Most items of a page."""
MOST_CHARS = 400


def cursor(*place: float | str) -> str:
    """Return a place as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_in(text: str, *kinds: type[float | str]) -> list[Any]:
    """Return the place that a cursor has, whose parts are of some types.

    Raises:
        Refusal: 422: it has none of ours.
    """
    try:
        if not text.isascii() or len(text) > MOST_CHARS:
            raise ValueError("not a cursor")  # noqa: TRY301 - one answer to all
        place = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
            raise ValueError("not a cursor")  # noqa: TRY301 - as above
    except (ValueError, RecursionError):
        raise Refusal(422, f"cursor {text[:40]!r} is not one of ours; use `next` of the page before, or none") from None
    return place
