"""Telling receivers over HTTP: real servers, a real ledger, and senders that die."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier
from structlog.testing import capture_logs

from common.notify_scene import add, happen, last
from fixtures.hand import Hand
from fixtures.proxy import make_authority
from fixtures.receiver import Receiver, receiver
from fixtures.valkey import wait_for
from reelmill_common.egress import EgressPolicy
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.notify import delivery, http_client
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
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, settings: Settings
) -> None:
    happen(ledger, "before")
    webhook = add(mailroom, taker.url, "batch.*")
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
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, settings: Settings
) -> None:
    add(mailroom, taker.url, "batch.finished")
    rows = [RenderJob(batch="night", row=str(row), spec=RenderSpec(prompt="fox", profile="tiny")) for row in range(4)]
    ledger.submit(Batch(name="night"), rows)
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    hand.finish(hand.claim())
    for code in ("bad_output", "prompt_too_long", "bad_output"):
        claimed = hand.claim()
        ledger.fail(claimed.job_id, claimed.token, code=code, message=f"it was {code}", retryable=False)

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
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    add(mailroom, taker.url, "batch.*")
    happen(ledger, "night")
    taker.statuses = [500, 503]

    for _ in range(4):
        sender.round()

    assert len(set(taker.ids)) == 1
    assert len({item.body for item in taker.received}) == 1
    assert [(item.outcome, item.status, item.attempt) for item in reversed(mailroom.log())] == [
        ("retry", "500", 1),
        ("retry", "503", 2),
        ("sent", "204", 3),
    ]


def test_after_a_failure_the_next_attempt_waits_and_so_do_the_others_of_that_receiver(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    add(mailroom, taker.url, "batch.*")
    happen(ledger, "one", "two", "three")
    taker.status = 500

    for _ in range(3):
        sender.round()

    assert len(taker.received) == 1
    (view,) = mailroom.webhooks()
    assert view.waiting == 3
    assert view.failing_since > 0


@pytest.mark.usefixtures("quick")
def test_a_message_that_was_given_up_can_be_sent_again(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    add(mailroom, taker.url, "batch.*")
    happen(ledger, "night")
    taker.status = 500
    for _ in range(6):
        sender.round()
    given_up = last(mailroom)
    taker.status = 200

    mailroom.redeliver(given_up.message)
    sender.round()

    assert (given_up.outcome, given_up.attempt) == ("failed", 4)
    assert last(mailroom).outcome == "sent"
    assert taker.ids == [given_up.message] * 5


def test_a_receiver_that_is_gone_is_disabled_and_others_are_told(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    gone = add(mailroom, taker.url, "batch.*")
    taker.status = 410
    happen(ledger, "night")

    with receiver() as other:
        add(mailroom, other.url, "webhook.*")
        sender.round()
        sender.round()
        mailroom.enable(gone.id)

    (came,) = other.received
    assert json.loads(came.body)["data"]["webhook"] == gone.id
    assert not mailroom.webhooks()[0].disabled


def test_one_that_failed_for_days_is_disabled(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.notify.webhook_store.DEAD_AFTER_S", 0.0)
    add(mailroom, taker.url, "batch.*")
    taker.status = 500
    happen(ledger, "one")
    sender.round()

    happen(ledger, "two")
    sender.round()

    (view,) = mailroom.webhooks()
    assert view.disabled == "it answered 500"
    assert view.waiting == 1


def test_a_receivers_wish_to_be_asked_later_is_heeded(
    mailroom: WebhookStore, taker: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    taker.status, taker.headers = 429, {"retry-after": "1200"}
    from reelmill_common.notify.notification import made  # noqa: PLC0415

    ended = delivery.attempt(add(mailroom, taker.url), made("msg_1", "webhook.test", 0, {}), 0, settings)

    assert (ended.outcome, ended.wait_s) == ("retry", 1200)


def test_a_redirect_is_not_followed(mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver) -> None:
    with receiver() as other:
        taker.status, taker.headers = 302, {"location": other.url}
        add(mailroom, taker.url, "batch.*")
        happen(ledger, "night")
        sender.round()

    assert other.received == []
    assert "redirects are not followed" in last(mailroom).detail


def test_a_name_that_turns_to_a_private_address_is_refused_at_the_connection(
    mailroom: WebhookStore, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked, real = ["127.0.0.1", "127.0.0.2"], [], socket.getaddrinfo

    def resolve(host: str, port: int, *args: object, **options: object) -> object:
        if host != "rebind.test":
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(asked) - 1], port))]

    sender = Sender(settings=settings)  # allows 127.0.0.1 and no other address of that kind
    with receiver() as public, receiver("127.0.0.2", port=public.port) as inner:
        add(mailroom, f"http://rebind.test:{public.port}/", "batch.*")
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
    assert "127.0.0.2, which is not on the public internet" in last(mailroom).detail


def test_plain_http_is_refused_unless_it_is_allowed(
    mailroom: WebhookStore, ledger: Ledger, settings: Settings, taker: Receiver
) -> None:
    sender = Sender(settings=dataclasses.replace(settings, notify_scheme="https"))
    add(mailroom, taker.url, "batch.*")
    happen(ledger, "night")

    sender.round()
    sender._leave()

    assert taker.received == []
    assert "REELMILL_NOTIFY_SCHEME=http" in last(mailroom).detail


def test_over_tls_the_certificate_must_be_that_of_the_name(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        add(mailroom, taker.url, "batch.*")
        add(mailroom, taker.url.replace("127.0.0.1", TLS_HOST), "batch.*")
        happen(ledger, "night")
        sender.round()

    assert len(taker.received) == 1  # the one whose name, 127.0.0.1, is in the certificate
    assert TLS_HOST in names
    assert {item.outcome: "CERTIFICATE_VERIFY_FAILED" in item.detail for item in mailroom.log()} == {
        "sent": False,
        "retry": True,
    }


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100, id="drips its headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"z" * 100, id="drips its body"),
    ],
)
def test_a_receiver_that_never_ends_is_left_in_time(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "WHOLE_S", 0.6)
    stopping = threading.Event()

    def drip() -> None:
        taken, _ = server.accept()
        with taken:
            taken.sendall(answer[:40])
            for byte in answer[40:]:
                if stopping.wait(0.2):
                    return
                try:
                    taken.sendall(bytes([byte]))
                except OSError:
                    return
            stopping.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        policy = EgressPolicy.parse("127.0.0.1", plain_http=True)
        with pytest.raises(http_client.NotDelivered, match=r"no whole answer within 0\.6 s"):
            http_client.post(url, {}, b"{}", policy)
        took_s = time.monotonic() - started
        stopping.set()
        thread.join()

    assert took_s < 10


def test_a_sender_that_is_killed_in_the_middle_loses_nothing_and_repeats_under_the_same_id(
    mailroom: WebhookStore, ledger: Ledger, settings: Settings, taker: Receiver
) -> None:
    add(mailroom, taker.url, "batch.submitted")
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


def test_only_one_of_two_senders_sends_and_a_late_one_writes_nothing(
    mailroom: WebhookStore, ledger: Ledger, settings: Settings, taker: Receiver
) -> None:
    webhook = add(mailroom, taker.url, "batch.*")
    happen(ledger, "night")
    late, _ = mailroom.lease("late", hold_s=600)
    standing_by, _ = mailroom.lease("other", hold_s=30)
    mailroom.lease("late", hold_s=0.05)
    token = wait_for(lambda: mailroom.lease("next", hold_s=30)[0], what="the lease runs out")

    written = mailroom.post(late, "0-0", "1-0", [])
    recorded = mailroom.ended(
        late, webhook.id, "msg_1", delivery.Attempt(outcome="sent", status="", detail="", took_s=0)
    )

    assert (standing_by, written, recorded) == ("", False, False)
    assert int(token) > int(late)


def test_what_waits_for_a_dead_receiver_is_bounded(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelmill_common.notify.webhook_store.WAITING_MOST", 3)
    taker.status = 500
    add(mailroom, taker.url, "batch.*")
    happen(ledger, *(f"batch-{number}" for number in range(8)))

    sender.round()

    (view,) = mailroom.webhooks()
    assert (view.waiting, view.dropped) == (3, 5)


def test_nothing_that_is_secret_is_logged(
    mailroom: WebhookStore, ledger: Ledger, sender: Sender, taker: Receiver
) -> None:
    webhook = add(mailroom, taker.url, "batch.*")
    happen(ledger, "night")

    with capture_logs() as logs:
        sender.round()

    assert [entry["event"] for entry in logs] == ["notice.attempted"]
    assert "secret-path" not in str(logs)
    assert webhook.secret not in str(logs)
