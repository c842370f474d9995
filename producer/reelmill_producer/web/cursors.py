"""Cursors: where the next page of a list begins, as a text that a client hands back unread."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from reelmill_producer.web.problems import Refusal

MOST = 1000
"""Most items of a page."""


def cursor(place: Any) -> str:
    """Return a place, which is plain data, as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_in(text: str, kind: type[Any]) -> Any:
    """Return the place that a cursor has, of a type. Raises `Refusal` with 422 if it has none of ours."""
    try:
        if not text.isascii() or len(text) > 400:
            raise ValueError("not a cursor")  # noqa: TRY301 - one answer to all
        place = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    if type(place) is not kind:
        raise Refusal(422, f"cursor {text[:40]!r} is not one of ours; use `next` of the page before, or none")
    return place
