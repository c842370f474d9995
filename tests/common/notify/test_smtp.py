"""Telling receivers by mail: real SMTP servers and a real ledger."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from common.webhook_steps import add, happen, last
from fixtures.proxy import make_authority
from fixtures.s3 import free_port
from reelmill_common.ledger import Ledger
from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.notify.webhooks import ReceiverKind
from reelmill_common.services.notification_sender import Sender
from reelmill_common.settings import Settings


class Mailbox:
    """What an SMTP server of `aiosmtpd` hands its mails to."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def mail_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    authority = make_authority(tmp_path / "mail")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    return authority.server


def _login(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"mill", b"hush:1"))  # type: ignore[attr-defined]


def send_mail(server: Controller, webhook_store: WebhookStore, ledger: Ledger, settings: Settings, url: str) -> None:
    """Run a mail server and a sender that mails the submission of a batch."""
    server.start()
    try:
        sender = Sender(settings=dataclasses.replace(settings, smtp_url=url, smtp_from="mill@example.org"))
        add(webhook_store, "ops@example.org", "batch.*", kind=ReceiverKind.EMAIL)
        happen(ledger, "night")
        sender.round()
        sender._leave()
    finally:
        server.stop()


def test_a_mail_server_gets_a_mail_over_starttls_with_a_login(
    webhook_store: WebhookStore, ledger: Ledger, settings: Settings, mail_authority: ssl.SSLContext
) -> None:
    mailbox, port = Mailbox(), free_port()
    server = Controller(
        mailbox,
        "127.0.0.1",
        port,
        tls_context=mail_authority,
        require_starttls=True,
        authenticator=_login,
        auth_required=True,
        ready_timeout=60,
    )
    send_mail(server, webhook_store, ledger, settings, f"smtp://mill:hush%3A1@127.0.0.1:{port}")

    (mail,) = mailbox.mails
    assert (mail.mail_from, mail.rcpt_tos) == ("mill@example.org", ["ops@example.org"])
    assert b"Subject: [" + settings.farm.encode() + b"] batch.submitted night" in mail.content
    assert last(webhook_store).outcome == "sent"


@pytest.mark.parametrize(("scheme", "why"), [("smtp", "STARTTLS"), ("smtps", "SSL")])
def test_no_mail_and_no_password_go_to_a_server_without_tls_unless_that_is_asked_for(
    webhook_store: WebhookStore, ledger: Ledger, settings: Settings, scheme: str, why: str
) -> None:
    mailbox, port = Mailbox(), free_port()
    server = Controller(mailbox, "127.0.0.1", port, ready_timeout=60)
    send_mail(server, webhook_store, ledger, settings, f"{scheme}://mill:hush@127.0.0.1:{port}")

    assert mailbox.mails == []
    assert why in last(webhook_store).detail
    assert "hush" not in last(webhook_store).detail
