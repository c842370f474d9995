"""Telling receivers over HTTP: real servers, a real ledger, and senders that die."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier
from structlog.testing import capture_logs

from common.webhook_steps import add, happen, last
from fixtures.hand import Hand
from fixtures.proxy import make_authority
from fixtures.receiver import Receiver, receiver
from fixtures.valkey import wait_for
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.notify import delivery
from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.services.notification_sender import Sender
from reelmill_common.settings import Settings

TLS_HOST = "hooks.test"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, notify_scheme="http", notify_allow="127.0.0.1")


@pytest.fixture
def taker() -> Iterator[Receiver]:
    with receiver() as taker:
        yield taker


@pytest.fixture
def sender(settings: Settings) -> Iterator[Sender]:
    sender = Sender(settings=settings)
    yield sender
    sender.stop()
    sender._leave()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed attempts are made again at once."""
    monkeypatch.setattr(delivery, "PAUSES_S", (0.0, 0.0, 0.0))


def test_an_event_arrives_signed_as_the_specification_wants_it(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, settings: Settings
) -> None:
    happen(ledger, "before")
    webhook = add(webhook_store, taker.url, "batch.*")
    happen(ledger, "night")

    sender.round()

    (came,) = taker.received
    assert Verifier(webhook.secret).verify(came.body, came.headers) == json.loads(came.body)
    assert json.loads(came.body) == {
        "type": "batch.submitted",
        "timestamp": json.loads(came.body)["timestamp"],
        "data": {
            "farm": settings.farm,
            "event_id": came.id.removeprefix(f"msg_{settings.farm}_"),
            "batch": "night",
            "job_id": "",
            "worker": "",
            "count": "1",
        },
    }
    assert came.path == "/hooks/secret-path"


def test_a_finished_batch_says_what_failed_why_and_how_to_try_again(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, settings: Settings
) -> None:
    add(webhook_store, taker.url, "batch.finished")
    rows = [RenderJob(batch="night", row=str(row), spec=RenderSpec(prompt="fox", profile="tiny")) for row in range(4)]
    ledger.batches.submit(Batch(name="night"), rows)
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    hand.finish(hand.claim())
    for code in ("bad_output", "prompt_too_long", "bad_output"):
        claimed = hand.claim()
        ledger.attempts.fail(claimed.job_id, claimed.token, code=code, message=f"it was {code}", retryable=False)

    sender.round()

    (came,) = taker.received
    data = json.loads(came.body)["data"]
    assert (data["total"], data["counts"]["succeeded"], data["counts"]["failed"]) == (4, 1, 3)
    mendable, hopeless = data["failures"]
    assert mendable == {
        "code": "bad_output",
        "count": 2,
        "message": "it was bad_output",
        "retry": "reelmill retry night --code bad_output",
        "advice": "",
    }
    assert (hopeless["code"], hopeless["count"], hopeless["retry"]) == ("prompt_too_long", 1, "")
    assert hopeless["advice"]
    assert data["retry"].startswith("reelmill retry night")


@pytest.mark.usefixtures("quick")
def test_a_receiver_that_fails_first_gets_the_same_message_again(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    add(webhook_store, taker.url, "batch.*")
    happen(ledger, "night")
    taker.statuses = [500, 503]

    for _ in range(4):
        sender.round()

    assert len(set(taker.ids)) == 1
    assert len({item.body for item in taker.received}) == 1
    assert [(item.outcome, item.status, item.attempt) for item in reversed(webhook_store.log())] == [
        ("retry", "500", 1),
        ("retry", "503", 2),
        ("sent", "204", 3),
    ]


def test_after_a_failure_the_next_attempt_waits_and_so_do_the_others_of_that_receiver(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    add(webhook_store, taker.url, "batch.*")
    happen(ledger, "one", "two", "three")
    taker.status = 500

    for _ in range(3):
        sender.round()

    assert len(taker.received) == 1
    (view,) = webhook_store.webhooks()
    assert view.waiting == 3
    assert view.failing_since > 0


@pytest.mark.usefixtures("quick")
def test_a_message_that_was_given_up_can_be_sent_again(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    add(webhook_store, taker.url, "batch.*")
    happen(ledger, "night")
    taker.status = 500
    for _ in range(6):
        sender.round()
    given_up = last(webhook_store)
    taker.status = 200

    webhook_store.redeliver(given_up.message)
    sender.round()

    assert (given_up.outcome, given_up.attempt) == ("failed", 4)
    assert last(webhook_store).outcome == "sent"
    assert taker.ids == [given_up.message] * 5


def test_a_receiver_that_is_gone_is_disabled_and_others_are_told(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    gone = add(webhook_store, taker.url, "batch.*")
    taker.status = 410
    happen(ledger, "night")

    with receiver() as other:
        add(webhook_store, other.url, "webhook.*")
        sender.round()
        sender.round()
        webhook_store.enable(gone.id)

    (came,) = other.received
    assert json.loads(came.body)["data"]["webhook"] == gone.id
    assert not webhook_store.webhooks()[0].disabled


def test_one_that_failed_for_days_is_disabled(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.notify.webhook_store.DEAD_AFTER_S", 0.0)
    add(webhook_store, taker.url, "batch.*")
    taker.status = 500
    happen(ledger, "one")
    sender.round()

    happen(ledger, "two")
    sender.round()

    (view,) = webhook_store.webhooks()
    assert view.disabled == "it answered 500"
    assert view.waiting == 1


def test_a_redirect_is_not_followed(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    with receiver() as other:
        taker.status, taker.headers = 302, {"location": other.url}
        add(webhook_store, taker.url, "batch.*")
        happen(ledger, "night")
        sender.round()

    assert other.received == []
    assert "redirects are not followed" in last(webhook_store).detail


def test_a_name_that_turns_to_a_private_address_is_refused_at_the_connection(
    webhook_store: WebhookStore, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked, real = ["127.0.0.1", "127.0.0.2"], [], socket.getaddrinfo

    def resolve(host: str, port: int, *args: object, **options: object) -> object:
        if host != "rebind.test":
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(asked) - 1], port))]

    sender = Sender(settings=settings)  # allows 127.0.0.1 and no other address of that kind
    with receiver() as public, receiver("127.0.0.2", port=public.port) as inner:
        add(webhook_store, f"http://rebind.test:{public.port}/", "batch.*")
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        happen(ledger, "one")
        sender.round()
        happen(ledger, "two")
        sender.round()
        sender._leave()

    assert len(public.received) == 1
    assert public.received[0].headers["host"] == f"rebind.test:{public.port}"
    assert inner.received == []
    assert len(asked) == 2  # one look for each attempt: what was checked is what was connected to
    assert "127.0.0.2, which is not on the public internet" in last(webhook_store).detail


def test_plain_http_is_refused_unless_it_is_allowed(
    webhook_store: WebhookStore, ledger: Ledger, settings: Settings, taker: Receiver
) -> None:
    sender = Sender(settings=dataclasses.replace(settings, notify_scheme="https"))
    add(webhook_store, taker.url, "batch.*")
    happen(ledger, "night")

    sender.round()
    sender._leave()

    assert taker.received == []
    assert "REELMILL_NOTIFY_SCHEME=http" in last(webhook_store).detail


def test_over_tls_the_certificate_must_be_that_of_the_name(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, real, names = make_authority(tmp_path / "ours"), socket.getaddrinfo, []
    authority.server.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **options: real(host.replace(TLS_HOST, "127.0.0.1"), *args, **options),
    )

    with receiver(tls=authority.server) as taker:
        add(webhook_store, taker.url, "batch.*")
        add(webhook_store, taker.url.replace("127.0.0.1", TLS_HOST), "batch.*")
        happen(ledger, "night")
        sender.round()

    assert len(taker.received) == 1  # the one whose name, 127.0.0.1, is in the certificate
    assert TLS_HOST in names
    assert {item.outcome: "CERTIFICATE_VERIFY_FAILED" in item.detail for item in webhook_store.log()} == {
        "sent": False,
        "retry": True,
    }


def test_a_sender_that_is_killed_in_the_middle_loses_nothing_and_repeats_under_the_same_id(
    webhook_store: WebhookStore, ledger: Ledger, settings: Settings, taker: Receiver
) -> None:
    add(webhook_store, taker.url, "batch.submitted")
    happen(ledger, *(f"batch-{number}" for number in range(12)))
    held = threading.Event()
    taker.before_answer = lambda: len(taker.received) == 5 and held.wait(60)
    code = (
        "import os; from reelmill_common.settings import Settings; "
        "from reelmill_common.services.notification_sender import Sender; "
        "Sender(settings=Settings.from_env({k: v for k, v in os.environ.items() if k.startswith('REELMILL_')}), "
        "hold_s=1.0).run()"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | settings.to_env(), stdout=subprocess.DEVNULL
    )
    wait_for(lambda: len(taker.received) == 5, what="the fifth message arrives")

    victim.kill()
    victim.wait()
    held.set()
    happen(ledger, "batch-12")
    heir = Sender(settings=settings)
    wait_for(lambda: heir.round() and len(set(taker.ids)) == 13, what="every message arrives")
    heir._leave()

    said = {json.loads(item.body)["data"]["batch"] for item in taker.received}
    assert said == {f"batch-{number}" for number in range(13)}
    assert len(taker.ids) == 14
    assert taker.ids.count(taker.ids[4]) == 2  # the one that was under way


def test_what_waits_for_a_dead_receiver_is_bounded(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.notify.webhook_store.WAITING_MOST", 3)
    taker.status = 500
    add(webhook_store, taker.url, "batch.*")
    happen(ledger, *(f"batch-{number}" for number in range(8)))

    sender.round()

    (view,) = webhook_store.webhooks()
    assert (view.waiting, view.dropped) == (3, 5)


def test_nothing_that_is_secret_is_logged(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    webhook = add(webhook_store, taker.url, "batch.*")
    happen(ledger, "night")

    with capture_logs() as logs:
        sender.round()

    assert [entry["event"] for entry in logs] == ["notice.attempted"]
    assert "secret-path" not in str(logs)
    assert webhook.secret not in str(logs)


def test_a_dead_and_a_slow_receiver_lose_no_message_of_their_own_or_of_others(
    webhook_store: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, quick: None
) -> None:
    released = threading.Event()
    with receiver() as slow, receiver() as dead:
        slow.before_answer = lambda: released.wait(60)
        add(webhook_store, slow.url, "batch.submitted")
        add(webhook_store, dead.url.replace(str(dead.port), "1"), "batch.submitted")
        add(webhook_store, taker.url, "batch.submitted")
        sender.start()
        for number in range(60):
            happen(ledger, f"batch-{number}")

        wait_for(lambda: len(set(taker.ids)) == 60, what="every message for who answers at once")
        wait_for(lambda: sorted(view.waiting for view in webhook_store.webhooks()) == [0, 60, 60])
        assert len(slow.received) == 1
        ledger._server._redis.xtrim(f"{ledger._keys.prefix}events", 0)
        released.set()
        wait_for(lambda: len(set(slow.ids)) == 60, what="every message for who is slow")
