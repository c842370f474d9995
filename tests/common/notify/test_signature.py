from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from reelmill_common.errors import InvalidSettings
from reelmill_common.notify.signature import new_secret, signature
from reelmill_common.notify.webhooks import ReceiverKind, Webhook

URL = "https://example.org/hooks/secret-path"


@given(body=st.text(), message=st.from_regex(r"msg_[a-z0-9-]{1,40}", fullmatch=True))
def test_what_we_sign_the_specifications_own_package_verifies(body: str, message: str) -> None:
    secret, raw = new_secret(), json.dumps(body).encode()
    now = int(datetime.now(UTC).timestamp())

    signed = signature([secret], message, now, raw)

    headers = {"webhook-id": message, "webhook-timestamp": str(now), "webhook-signature": signed}
    assert Verifier(secret).verify(raw, headers) == body
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(raw + b" ", headers)


def test_both_live_secrets_verify_after_a_rotation_and_only_the_new_one_a_day_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = Webhook.new(URL, kind=ReceiverKind.STANDARD)
    new = Webhook.decode(old.rotated().encode())
    later = datetime.now(UTC) + timedelta(hours=25)

    today = new.live_secrets
    monkeypatch.setattr("time.time", later.timestamp)
    tomorrow = new.live_secrets

    assert today == (new.secret, old.secret)
    assert tomorrow == (new.secret,)


def test_a_short_secret_is_refused_without_being_shown() -> None:
    short = "whsec_" + base64.b64encode(b"hush" * 5).decode()

    with pytest.raises(InvalidSettings, match="24 to 64 bytes") as caught:
        Webhook.new(URL, kind=ReceiverKind.STANDARD, secret=short)

    assert short not in str(caught.value)
