"""The commands `webhook …`: receivers of notifications, the messages to them, and the log of deliveries."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.errors import InvalidSettings, NotDelivered
from reelmill_common.ledger.server import PROMPT
from reelmill_common.notify.delivery import attempt
from reelmill_common.notify.notification import Notification, make_notification
from reelmill_common.notify.webhook_store import Attempt, WebhookStore, WebhookView
from reelmill_common.notify.webhooks import DEFAULT_EVENTS, ReceiverKind, Webhook
from reelmill_common.services.notification_sender import Sender
from reelmill_common.settings import Settings
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, SomeWebhook, WebhookId
from reelmill_producer.cli.output import print_json, table
from reelmill_producer.embedded import state_file
from reelmill_producer.outputs.records import record_of, webhook_record

webhook = typer.Typer(
    name="webhook",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Send notifications of what happens: by webhook, to Slack, Discord or Teams, by mail.",
)


@webhook.command(epilog="Try: reelmill webhook add https://example.org/hooks/reelmill --event 'batch.*'")
def add(
    target: Annotated[str, typer.Argument(help="A URL, or a mail address.")],
    *,
    kind: Annotated[
        ReceiverKind | None,
        typer.Option(help="Format that the receiver understands. Default: by its host, else standard."),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Events that are sent, such as `batch.*`; repeatable. Default: {', '.join(DEFAULT_EVENTS)}."
        ),
    ] = None,
    secret_file: Annotated[
        str,
        typer.Option(help="File with the secret that signs messages (`-`: stdin). Default: a new secret, shown once."),
    ] = "",
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'|@FILE",
            help="A header of each request, such as Authorization; @FILE holds one a line, @- reads stdin.",
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Send a test message at once, and warn if it is not accepted.")
    ] = True,
    json: Json = False,
) -> None:
    """Send a receiver what happens from now on; print the webhook's id, and on stderr its secret, once.

    A test message is sent at once. If it is not accepted, a warning says so, and the webhook is kept.
    """
    headers = tuple(line for text in header or () for line in _header_lines(text))
    secret = _read_secret(secret_file)
    made_now = Webhook.new(target, kind=kind, events=tuple(event or ()), secret=secret, headers=headers)
    with _store() as (store, settings):
        store.add(made_now)
    trial = attempt(made_now, _test_message(settings), 0, settings) if test else None
    _show_secret(made_now, given=bool(secret_file), json=json, trial=trial)
    if trial is not None and trial.outcome != "sent":
        answer = f"{trial.status} {trial.detail}".strip()
        hint = (
            "; a receiver that checks signatures needs the secret first"
            if made_now.secret and trial.status[:1] == "4"
            else ""
        )
        inform(
            f"warning: {made_now.place} did not accept a test message ({answer}){hint}. The webhook is kept; "
            f"`reelmill webhook test {made_now.id}` tries again, `reelmill webhook remove {made_now.id}` removes it"
        )


@webhook.command(name="list", epilog="Try: reelmill webhook list --json")
def show(*, json: Json = False) -> None:
    """List the webhooks and their receivers' health. Secrets, and paths of URLs, are not shown."""
    with _store() as (store, _):
        views = store.webhooks()
    if json:
        print_json({"webhooks": [webhook_record(view) for view in views]})
    elif views:
        rows = [
            (
                item.webhook.id,
                item.webhook.kind.value,
                item.webhook.place,
                _state(item),
                str(item.waiting),
                ",".join(item.webhook.events),
            )
            for item in views
        ]
        typer.echo(table(("WEBHOOK", "KIND", "TARGET", "STATE", "WAITING", "EVENTS"), rows))
    else:
        inform("there is no webhook; `reelmill webhook add` adds one")


@webhook.command(epilog="Try: reelmill webhook remove wh_1a2b3c4d")
def remove(webhook_id: WebhookId) -> None:
    """Remove a webhook; messages that wait for it are not sent."""
    with _store() as (store, _):
        store.remove(webhook_id)
    typer.echo(webhook_id)


@webhook.command(epilog="Try: reelmill webhook enable wh_1a2b3c4d")
def enable(webhook_id: WebhookId) -> None:
    """Enable a webhook that was disabled because its receiver failed for days."""
    with _store() as (store, _):
        store.enable(webhook_id)
    typer.echo(webhook_id)


@webhook.command(name="test", epilog="Try: reelmill webhook test wh_1a2b3c4d")
def probe(webhook_id: WebhookId, *, json: Json = False) -> None:
    """Send one message of the type `webhook.test` from here, once; exit 75 if it is not accepted."""
    with _store() as (store, settings):
        found = store.webhook(webhook_id)
    sent = _test_message(settings)
    ended = attempt(found, sent, 0, settings)
    if json:
        print_json({"webhook": webhook_id, "message": sent.id, **record_of(ended, "outcome status detail")})
    if ended.outcome != "sent":
        raise NotDelivered(f"{found.place} did not accept the message: {ended.status} {ended.detail}".rstrip())
    if not json:
        typer.echo(sent.id)


@webhook.command(epilog="Try: reelmill webhook log --count 20")
def log(
    webhook_id: SomeWebhook = "",
    *,
    count: Annotated[int, typer.Option(min=1, max=5000, help="Attempts to show.")] = 50,
    json: Json = False,
) -> None:
    """Show the newest attempts, newest first; about 5,000 are kept."""
    with _store() as (store, _):
        entries = store.log(webhook=webhook_id, count=count)
    if json:
        for entry in entries:
            print_json(record_of(entry, "at webhook message type outcome attempt status detail seconds=took_s"))
    elif entries:
        rows = [
            (
                _stamp(item.at),
                item.webhook,
                item.message,
                item.type,
                item.outcome,
                str(item.attempt),
                item.status,
                item.detail.split("\n")[0][:80],
            )
            for item in entries
        ]
        typer.echo(table(("AT", "WEBHOOK", "MESSAGE", "TYPE", "OUTCOME", "ATTEMPT", "STATUS", "DETAIL"), rows))
    else:
        inform("nothing has been sent yet")


@webhook.command(epilog="Try: reelmill webhook redeliver msg_main_1767225600000-0")
def redeliver(
    message: Annotated[str, typer.Argument(help="Id of a message, as `webhook log` shows it.")],
    *,
    to: Annotated[str, typer.Option(metavar="WEBHOOK", help="Only to this webhook. Default: to all that got it.")] = "",
) -> None:
    """Send a message again, with the same id, at the next round of a sender; print the number of webhooks."""
    with _store() as (store, _):
        typer.echo(store.redeliver(message, webhook=to))


@webhook.command(epilog="Try: reelmill webhook rotate wh_1a2b3c4d")
def rotate(webhook_id: WebhookId, *, json: Json = False) -> None:
    """Give a webhook a new secret, shown once. For 24 hours the old secret signs as well."""
    with _store() as (store, _):
        rotated = store.webhook(webhook_id).rotated()
        store.replace(rotated)
    _show_secret(rotated, given=False, json=json)


@webhook.command(epilog="Try: reelmill webhook serve")
def serve() -> None:
    """Send from here until Ctrl-C; only needed where no worker runs, since workers send too."""
    with _store() as (_, settings):
        pass
    inform("sending what waits; Ctrl-C ends this")
    sender = Sender(settings=settings)
    sender.start()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
    finally:
        sender.stop()


@contextmanager
def _store() -> Generator[tuple[WebhookStore, Settings]]:
    settings = Settings.from_env(os.environ)
    if settings.embedded:
        settings = state_file.attached(settings)
    with WebhookStore.connect(settings, patience=PROMPT) as store:
        yield store, settings


def _read_secret(file: str) -> str:
    return _read_file("--secret-file ", file) if file else ""


def _read_file(option: str, file: str) -> str:
    try:
        return (sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")).strip()
    except (OSError, ValueError) as err:  # not text, or not a path
        why = getattr(err, "strerror", None) or type(err).__name__
        raise InvalidSettings(f"{option}{file[:200]} cannot be read ({why})") from err


def _header_lines(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    return [line for line in _read_file("--header @", text[1:]).splitlines() if line.strip()]


def _test_message(settings: Settings) -> Notification:
    now = time.time()
    return make_notification(
        f"msg_{settings.farm}_test_{int(now * 1000)}", "webhook.test", now, {"farm": settings.farm}
    )


def _show_secret(item: Webhook, *, given: bool, json: bool, trial: Attempt | None = None) -> None:
    shown = "" if given else item.secret
    if json:
        test = None if trial is None else record_of(trial, "outcome status detail")
        record = {"secret": shown, "headers": [name for name, _ in item.headers], "test": test}
        print_json({**record_of(item, "webhook=id kind target=place events"), **record})
        return
    typer.echo(item.id)
    if shown:
        inform(f"secret, shown only now: {shown}")


def _state(view: WebhookView) -> str:
    if view.disabled:
        return "disabled"
    return f"failing since {_stamp(view.failing_since)}" if view.failing_since else "ok"


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
