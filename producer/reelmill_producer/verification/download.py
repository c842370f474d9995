"""Fetches a file to be verified from a link that anyone may have written."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from reelmill_common.config.egress import EgressPolicy
from reelmill_common.errors import NotFound
from reelmill_common.notify.http_client import get

MOST_BYTES = 1 << 30
WHOLE_S = 300.0


def download(url: str, path: Path, allowed: str, *, plain_http: bool) -> None:
    """Write what lies behind a link into a file, by the rules that webhooks go by: the public internet, no redirects.

    Args:
        url: The link.
        path: The file.
        allowed: What may be reached besides, as `REELMILL_NOTIFY_ALLOW` has it.
        plain_http: Whether http is allowed.

    Raises:
        NotDelivered: It cannot be reached, or may not be.
        NotFound: The server has no such file.
    """
    with path.open("wb") as target:
        status = get(
            url, target, EgressPolicy.parse(allowed, plain_http=plain_http), most_bytes=MOST_BYTES, whole_s=WHOLE_S
        )
    if status != HTTPStatus.OK:
        shown = url.partition("?")[0][:200]
        advice = "; it redirects: name the link that it leads to" if 300 <= status < 400 else ""
        raise NotFound(f"{shown} answered with {status}{advice}")
