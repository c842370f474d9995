"""Secrets and signatures of the Standard Webhooks specification, version 1.0.0 (symmetric, `v1`)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from reelmill_common.errors import InvalidSettings

PREFIX = "whsec_"
SECRET_BYTES = 32
"""Length of a new secret; the specification asks for 24 to 64."""


def new_secret() -> str:
    """Return a new secret in the form in which it is shown and stored."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def checked_secret(text: str) -> str:
    """Return a secret that was given, once it is checked.

    Raises:
        InvalidSettings: It is not `whsec_` and 24 to 64 bytes in base64. The message does not show it.
    """
    try:
        size = len(base64.b64decode(text.removeprefix(PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith(PREFIX) or not 24 <= size <= 64:
        raise InvalidSettings(f"the secret is not {PREFIX} and 24 to 64 bytes in base64; leave it out to get a new one")
    return text


def signature(live: Sequence[str], message: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature for each live secret, so that either verifies."""
    signed = f"{message}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_one(secret, signed)}" for secret in live)


def _one(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
