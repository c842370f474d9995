"""Who is notified, at which addresses, and how messages are signed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from reelmill_common.config.egress import EgressPolicy
from reelmill_common.errors import InvalidSettings
from reelmill_common.notify import message_text
from reelmill_common.notify.notification import Notification, make_notification
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


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "::127.0.0.1",
    ],
)
def test_an_address_off_the_public_internet_is_refused(address: str) -> None:
    assert not EgressPolicy().allows("example.org", address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_an_address_on_the_public_internet_may_be_reached(address: str) -> None:
    assert EgressPolicy().allows("example.org", address)


def test_the_owner_of_the_farm_can_allow_hosts_and_networks() -> None:
    policy = EgressPolicy.parse("hooks.lan, 10.1.0.0/16,fd00::5")

    assert policy.allows("Hooks.LAN", "192.168.0.9")
    assert policy.allows("other.lan", "10.1.2.3")
    assert policy.allows("other.lan", "::ffff:10.1.2.3")
    assert policy.allows("other.lan", "fd00::5")
    assert not policy.allows("other.lan", "10.2.0.1")
    assert not policy.allows("other.lan", "fd00::6")


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


def test_a_short_secret_is_refused_without_being_shown() -> None:
    short = "whsec_" + base64.b64encode(b"hush" * 5).decode()

    with pytest.raises(InvalidSettings, match="24 to 64 bytes") as caught:
        Webhook.new(URL, kind=ReceiverKind.STANDARD, secret=short)

    assert short not in str(caught.value)


def test_what_is_shown_of_a_url_hides_its_path() -> None:
    assert Webhook.new(URL + "?key=hush", kind=ReceiverKind.SLACK).place == "https://example.org/…"


def finished(**changes: object) -> Notification:
    data = {
        "farm": "main",
        "batch": "night",
        "total": 3,
        "counts": {"succeeded": 1, "failed": 2},
        "failures": [
            {"code": "bad_output", "count": 2, "message": "<black> & frozen", "retry": "reelmill retry night"}
        ],
        "retry": "reelmill retry night",
        **changes,
    }
    return make_notification("msg_main_1-0", "batch.finished", 1.5, data)


def test_slack_gets_a_text_in_which_nothing_is_markup_that_was_not_meant_to_be() -> None:
    text = json.loads(message_text.slack(finished()))["text"]

    assert text.splitlines() == [
        "*[main] Batch night is done*",
        "3 clips: 1 succeeded, 2 failed",
        "2 of bad_output: &lt;black&gt; &amp; frozen",
        "try them again: reelmill retry night",
    ]


def test_no_text_of_an_event_begins_a_header_of_a_mail() -> None:
    mail = message_text.mail(finished(batch="x\r\nBcc: evil@example.org"), "reelmill@example.org", "ops@example.org")

    assert mail["Bcc"] is None
    assert mail["Subject"] == "[main] Batch x Bcc: evil@example.org is done"
    assert mail["Message-ID"] == "<msg_main_1-0@example.org>"


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


def test_a_message_to_discord_mentions_nobody_and_fits() -> None:
    evil = "@everyone [log in](https://evil.example)\n**batch done** " + "x" * 5_000
    body = json.loads(
        message_text.discord(
            make_notification("msg_1", "batch.paused", 0, {"farm": "main", "batch": "night", "why": evil})
        )
    )

    assert body["allowed_mentions"] == {"parse": []}
    assert len(body["content"]) <= 2000
    assert body["content"].startswith("**\\[main\\] Batch night is paused**\nwhy")
    assert "\n**batch" not in body["content"]
    assert "[log in](" not in body["content"]


def test_a_webhook_shows_no_secret_of_its_own() -> None:
    webhook = Webhook.new("https://a.example/s3cr3t-path", headers=("Authorization: Bearer s3cr3t",))

    assert "s3cr3t" not in repr(webhook)
    assert webhook.secret not in repr(webhook)
    assert Webhook.decode(webhook.encode()) == webhook
    assert webhook.masked("you sent Bearer s3cr3t to /s3cr3t-path") == "you sent (hidden) to /(hidden)"
