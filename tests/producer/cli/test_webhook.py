"""`reelmill webhook`: adding, showing, trying, sending again, and a sender without workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier

from fixtures.cli import Cli, started
from fixtures.receiver import Received, Receiver, receiver
from fixtures.s3 import free_port
from fixtures.valkey import wait_for
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

ALLOW = {"REELMILL_NOTIFY_SCHEME": "http", "REELMILL_NOTIFY_ALLOW": "127.0.0.1"}


@pytest.fixture
def taker() -> Iterator[Receiver]:
    with receiver() as taker:
        yield taker


def test_a_webhooks_secret_and_path_are_shown_once_and_never_again(cli: Cli, taker: Receiver) -> None:
    made = cli("webhook", "add", taker.url, "--event", "batch.*", "--json").json
    shown = [cli("webhook", "list"), cli("webhook", "list", "--json"), cli("webhook", "log")]

    assert made["secret"].startswith("whsec_")
    assert shown[1].json["webhooks"][0]["webhook"] == made["webhook"]
    for ran in shown:
        assert made["secret"] not in ran.out + ran.err
        assert "secret-path" not in ran.out + ran.err


def test_a_trial_is_signed_with_both_secrets_after_a_rotation(cli: Cli, taker: Receiver) -> None:
    made = cli("webhook", "add", taker.url, "--json").json
    rotated = cli("webhook", "rotate", made["webhook"], "--json").json

    ran = cli("webhook", "test", made["webhook"], env=ALLOW)

    (came,) = taker.received
    assert (ran.status, ran.out.strip()) == (0, came.id)
    for secret in (made["secret"], rotated["secret"]):
        assert Verifier(secret).verify(came.body, came.headers) == json.loads(came.body)


def test_a_trial_at_a_private_address_is_refused_with_the_setting_that_allows_it(cli: Cli, taker: Receiver) -> None:
    webhook_id = cli("webhook", "add", taker.url).out.strip()

    ran = cli("webhook", "test", webhook_id, env={"REELMILL_NOTIFY_SCHEME": "http"})

    assert (ran.status, ran.out, taker.received) == (75, "", [])
    assert "REELMILL_NOTIFY_ALLOW" in ran.err


def test_serve_sends_what_waits_and_again_what_is_asked_for(
    cli: Cli, taker: Receiver, settings: Settings, ledger: Ledger
) -> None:
    webhook_id = cli("webhook", "add", taker.url, "--event", "batch.submitted").out.strip()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=RenderSpec(prompt="fox"))])

    with started("webhook", "serve", env=settings.to_env() | ALLOW):
        wait_for(lambda: cli("webhook", "log", "--json").out, what="the message is sent")
        again = cli("webhook", "redeliver", taker.ids[0], "--to", webhook_id)
        wait_for(lambda: len(taker.received) == 2, what="it is sent again")

    assert again.out.strip() == "1"
    assert taker.ids[0] == taker.ids[1]


@pytest.mark.parametrize(
    "args",
    [
        ("remove", "wh_none"),
        ("enable", "wh_none"),
        ("rotate", "wh_none"),
        ("test", "wh_none"),
        ("redeliver", "msg_none"),
    ],
)
def test_what_is_not_there_is_told(cli: Cli, args: tuple[str, ...]) -> None:
    ran = cli("webhook", *args)

    assert (ran.status, ran.out) == (66, "")
    assert "reelmill webhook" in ran.err


def test_a_removed_webhook_is_told_nothing(cli: Cli, taker: Receiver) -> None:
    webhook_id = cli("webhook", "add", taker.url).out.strip()

    cli("webhook", "remove", webhook_id)

    assert cli("webhook", "list", "--json").json == {"webhooks": []}


def test_a_secret_is_taken_from_a_file_and_not_printed(cli: Cli, taker: Receiver) -> None:
    secret = "whsec_" + "QUJD" * 10

    ran = cli("webhook", "add", taker.url, "--secret-file", "-", "--json", stdin=secret)

    assert ran.json["secret"] == ""
    assert secret not in ran.out + ran.err


def as_discord(came: Received) -> bool:
    body = json.loads(came.body)
    return bool(body.get("text") if came.path.endswith("/slack") else body.get("content"))


def as_teams(came: Received) -> bool:
    body = json.loads(came.body)
    return body.get("type") == "message" and body["attachments"][0]["content"]["type"] == "AdaptiveCard"


@pytest.mark.parametrize(
    ("kind", "path", "takes"),
    [
        pytest.param("discord", "/api/webhooks/1/token", as_discord, id="Discord"),
        pytest.param("slack", "/api/webhooks/1/token/slack", as_discord, id="Discord's address for Slack"),
        pytest.param("teams", "/workflows/1", as_teams, id="Teams"),
    ],
)
def test_a_receiver_of_each_kind_takes_the_test_message(
    cli: Cli, taker: Receiver, kind: str, path: str, takes: Callable[[Received], bool]
) -> None:
    url = taker.url.removesuffix("/hooks/secret-path") + path

    ran = cli("webhook", "add", url, "--kind", kind, "--json", env=ALLOW)

    (came,) = taker.received
    assert (ran.status, ran.err, ran.json["test"]["outcome"]) == (0, "", "sent")
    assert takes(came)
    assert "webhook-signature" not in came.headers


def test_a_header_goes_with_each_request_and_is_shown_nowhere(cli: Cli, taker: Receiver, tmp_path: Path) -> None:
    taker.body = lambda came: f"hello {came.headers.get('authorization')} at {came.path}"
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer s3cr3t-token\nX-Team: s3cr3t-team\n")

    made = cli("webhook", "add", taker.url, "--header", f"@{file}", "--json", env=ALLOW)
    given = cli("webhook", "add", taker.url, "--header", "authorization: Bearer s3cr3t-token", env=ALLOW)
    taker.status = 403
    refused = cli("webhook", "add", taker.url, "--header", "Authorization: Bearer s3cr3t-token", env=ALLOW)
    tried = cli("webhook", "test", made.json["webhook"], env=ALLOW)
    shown = [
        made,
        given,
        refused,
        tried,
        cli("webhook", "list"),
        cli("webhook", "list", "--json"),
        cli("webhook", "log"),
    ]

    assert {came.headers["authorization"] for came in taker.received} == {"Bearer s3cr3t-token"}
    assert taker.received[0].headers["x-team"] == "s3cr3t-team"
    assert taker.received[0].headers["content-type"] == "application/json"
    assert made.json["headers"] == ["authorization", "x-team"]
    assert [ran.status for ran in shown] == [0, 0, 0, 75, 0, 0, 0]
    assert "did not accept a test message (403 hello (hidden)" in refused.err
    assert "s3cr3t" not in "".join(ran.out + ran.err for ran in shown)
    assert "secret-path" not in "".join(ran.out + ran.err for ran in shown)


@pytest.mark.parametrize(
    "header",
    ["no colon s3cr3t", "Name:", "Bad name: s3cr3t", "X-A: s3cr3t\nX-B: x", "X-A: sécr3t s3cr3t", "Host: s3cr3t",
     "Webhook-Signature: s3cr3t", "Content-Length: 30000", "X: " + "s3cr3t" * 1000],
)  # fmt: skip
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(cli: Cli, taker: Receiver, header: str) -> None:
    ran = cli("webhook", "add", taker.url, "--header", header, env=ALLOW)

    assert (ran.status, taker.received) == (78, [])
    assert "header" in ran.err
    assert "s3cr3t" not in ran.err
    assert cli("webhook", "list", "--json").json["webhooks"] == []


def test_a_receiver_that_refuses_or_is_not_there_is_told_at_once_and_kept(cli: Cli, taker: Receiver) -> None:
    taker.status, taker.body = 400, "no\nerror: forged \x1b[2J"
    refused = cli("webhook", "add", taker.url, env=ALLOW)
    untested = cli("webhook", "add", taker.url, "--no-test", env=ALLOW)
    absent = cli("webhook", "add", f"http://127.0.0.1:{free_port()}/secret-path", env=ALLOW)

    assert [ran.status for ran in (refused, untested, absent)] == [0, 0, 0]
    assert len(taker.received) == 1
    assert "warning: http://127.0.0.1" in refused.err
    assert "did not accept a test message (400 no\\nerror: forged" in refused.err
    assert "a receiver that checks signatures needs the secret first" in refused.err
    assert "warning" not in untested.err
    assert "no connection" in absent.err
    assert "secret-path" not in refused.err + absent.err
    assert len(cli("webhook", "list", "--json").json["webhooks"]) == 3
