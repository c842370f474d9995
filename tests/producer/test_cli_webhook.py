"""`reelmill webhook`: adding, showing, trying, sending again, and a sender without workers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook as Verifier

from fixtures.cli import Cli, started
from fixtures.receiver import Receiver, receiver
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
    ledger.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=RenderSpec(prompt="fox"))])

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
