"""Who is notified, at which addresses, and how messages are signed."""

from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.notify.webhooks import ReceiverKind, Webhook

URL = "https://example.org/hooks/secret-path"


@pytest.mark.parametrize(
    ("target", "kind", "why"),
    [
        pytest.param("ftp://example.org/", ReceiverKind.STANDARD, "not a valid URL", id="scheme"),
        pytest.param("https:///path", ReceiverKind.STANDARD, "not a valid URL", id="no host"),
        pytest.param("https://example.org:99999/", ReceiverKind.STANDARD, "not a valid URL", id="port"),
        pytest.param("https://example.org/\r\nX-Evil: 1", ReceiverKind.SLACK, "not a valid URL", id="header injection"),
        pytest.param("https://user:hush@example.org/", ReceiverKind.STANDARD, "user or password", id="credentials"),
        pytest.param("ops", ReceiverKind.EMAIL, "not a valid mail address", id="no mailbox"),
        pytest.param(
            "a@b.example\nBcc: c@d.example", ReceiverKind.EMAIL, "not a valid mail address", id="mail header injection"
        ),
    ],
)
def test_a_bad_target_is_refused_and_its_secrets_are_not_repeated(target: str, kind: ReceiverKind, why: str) -> None:
    with pytest.raises(InvalidSettings, match=why) as caught:
        Webhook.new(target, kind=kind)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["batch", "batch.", "bach.*", "b*.x", "batch.finished;", ""])
def test_a_pattern_that_names_no_event_is_refused_with_those_that_do(pattern: str) -> None:
    with pytest.raises(InvalidSettings, match=r"is not the name of an event; use .*batch\.\*"):
        Webhook.new(URL, kind=ReceiverKind.STANDARD, events=(pattern,))


def test_patterns_choose_what_is_told() -> None:
    webhook = Webhook.new(URL, kind=ReceiverKind.STANDARD, events=("job.failed", "night.*"))

    wanted = [
        name for name in ("job.failed", "job.staged", "schedule.missed", "batch.window_shut") if webhook.wants(name)
    ]

    assert wanted == ["job.failed", "schedule.missed", "batch.window_shut"]


def test_what_is_shown_of_a_url_hides_its_path() -> None:
    assert Webhook.new(URL + "?key=hush", kind=ReceiverKind.SLACK).place == "https://example.org/…"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://hooks.slack.com/services/T/B/x", ReceiverKind.SLACK),
        ("https://discord.com/api/webhooks/1/x", ReceiverKind.DISCORD),
        ("https://ptb.discord.com/api/webhooks/1/x?wait=true", ReceiverKind.DISCORD),
        ("https://discordapp.com/api/webhooks/1/x/slack", ReceiverKind.SLACK),
        (
            "https://prod-1.westeurope.logic.azure.com:443/workflows/x/triggers/manual/paths/invoke?sig=x",
            ReceiverKind.TEAMS,
        ),
        ("https://ab.webhook.office.com/webhookb2/x", ReceiverKind.TEAMS),
        ("ops@example.org", ReceiverKind.EMAIL),
        ("https://notdiscord.com/api/webhooks/1/x", ReceiverKind.STANDARD),
        ("https://discord.com.evil.example/api", ReceiverKind.STANDARD),
        ("https://n8n.example.org/webhook/x", ReceiverKind.STANDARD),
    ],
)
def test_a_receivers_address_tells_what_it_understands_unless_somebody_says_otherwise(
    target: str, kind: ReceiverKind
) -> None:
    assert Webhook.new(target).kind is kind
    if kind is not ReceiverKind.EMAIL:
        assert Webhook.new(target, kind=ReceiverKind.STANDARD).kind is ReceiverKind.STANDARD


def test_a_webhook_shows_no_secret_of_its_own() -> None:
    webhook = Webhook.new("https://a.example/s3cr3t-path", headers=("Authorization: Bearer s3cr3t",))

    assert "s3cr3t" not in repr(webhook)
    assert webhook.secret not in repr(webhook)
    assert Webhook.decode(webhook.encode()) == webhook
    assert webhook.masked("you sent Bearer s3cr3t to /s3cr3t-path") == "you sent (hidden) to /(hidden)"
