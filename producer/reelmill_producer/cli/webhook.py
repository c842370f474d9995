"""Commands that tell others: webhooks, their messages, and the log of what became of these."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from reelmill_common.errors import InvalidSettings, NotDelivered
from reelmill_common.ledger.server import PROMPT
from reelmill_common.notify.delivery import attempt
from reelmill_common.notify.notification import Notification, make_notification
from reelmill_common.notify.webhook_store import Attempt, LogEntry, WebhookStore, WebhookView
from reelmill_common.notify.webhooks import DEFAULT_EVENTS, ReceiverKind, Webhook
from reelmill_common.services.notification_sender import Sender
from reelmill_common.settings import Settings
from reelmill_producer.cli.errors import tell
from reelmill_producer.cli.options import Json, SomeWebhook, WebhookId
from reelmill_producer.cli.output import print_json, table
from reelmill_producer.embedded import state_file

webhook = typer.Typer(
    name="webhook",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tell others what happens: by webhook, in Slack, Discord or Teams, by mail.",
)


@webhook.command(epilog="Try: reelmill webhook add https://example.org/hooks/reelmill --event 'batch.*'")
def add(
    target: Annotated[str, typer.Argument(help="A URL, or a mail address.")],
    *,
    kind: Annotated[
        ReceiverKind | None,
        typer.Option(help="What the receiver understands. Default: as its host says, else standard."),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What it is told of, such as `batch.*`; may be repeated. Default: {', '.join(DEFAULT_EVENTS)}."
        ),
    ] = None,
    secret_file: Annotated[
        str, typer.Option(help="File with a secret to sign with (`-`: stdin). Default: a new one, shown once.")
    ] = "",
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'|@FILE",
            help="A header that each request brings, such as Authorization; @FILE has one a line, @- is stdin.",
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Send a test message at once, and warn.")] = True,
    json: Json = False,
) -> None:
    """Tell a receiver of what happens from now on; print the webhook's id, and on stderr its secret, once.

    A test message is sent at once. If it is not taken that is told, and the webhook is kept all the same.
    """
    headers = tuple(line for text in header or () for line in _header_lines(text))
    secret = _read_secret(secret_file)
    made_now = Webhook.new(target, kind=kind, events=tuple(event or ()), secret=secret, headers=headers)
    with _mailroom() as (mailroom, settings):
        mailroom.add(made_now)
    trial = attempt(made_now, _trial(settings), 0, settings) if test else None
    _show_secret(made_now, brought=bool(secret_file), json=json, trial=trial)
    if trial is not None and trial.outcome != "sent":
        said = f"{trial.status} {trial.detail}".strip()
        hint = (
            "; one that checks signatures needs the secret first" if made_now.secret and trial.status[:1] == "4" else ""
        )
        tell(
            f"warning: {made_now.place} did not take a test message ({said}){hint}. The webhook is kept; "
            f"`reelmill webhook test {made_now.id}` tries again, `reelmill webhook remove {made_now.id}` removes it"
        )


@webhook.command(name="list", epilog="Try: reelmill webhook list --json")
def show(*, json: Json = False) -> None:
    """List the webhooks and how their receivers do. Secrets, and paths of URLs, are not shown."""
    with _mailroom() as (mailroom, _):
        views = mailroom.webhooks()
    if json:
        print_json({"webhooks": [_record(view) for view in views]})
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
        tell("there is no webhook; `reelmill webhook add` makes one")


@webhook.command(epilog="Try: reelmill webhook remove wh_1a2b3c4d")
def remove(webhook_id: WebhookId) -> None:
    """Remove a webhook; what waits for it is not sent."""
    with _mailroom() as (mailroom, _):
        mailroom.remove(webhook_id)
    typer.echo(webhook_id)


@webhook.command(epilog="Try: reelmill webhook enable wh_1a2b3c4d")
def enable(webhook_id: WebhookId) -> None:
    """Send again to a webhook that was disabled because its receiver failed for days."""
    with _mailroom() as (mailroom, _):
        mailroom.enable(webhook_id)
    typer.echo(webhook_id)


@webhook.command(name="test", epilog="Try: reelmill webhook test wh_1a2b3c4d")
def probe(webhook_id: WebhookId, *, json: Json = False) -> None:
    """Send one message of the type `webhook.test` from here, once; exit 75 if it is not taken."""
    with _mailroom() as (mailroom, settings):
        found = mailroom.webhook(webhook_id)
    said = _trial(settings)
    ended = attempt(found, said, 0, settings)
    if json:
        print_json(
            {
                "webhook": webhook_id,
                "message": said.id,
                "outcome": ended.outcome,
                "status": ended.status,
                "detail": ended.detail,
            }
        )
    if ended.outcome != "sent":
        raise NotDelivered(f"{found.place} did not take the message: {ended.status} {ended.detail}".rstrip())
    if not json:
        typer.echo(said.id)


@webhook.command(epilog="Try: reelmill webhook log --count 20")
def log(
    webhook_id: SomeWebhook = "",
    *,
    count: Annotated[int, typer.Option(min=1, max=5000, help="Attempts to show.")] = 50,
    json: Json = False,
) -> None:
    """Show the newest attempts, newest first; about 5,000 are kept."""
    with _mailroom() as (mailroom, _):
        entries = mailroom.log(webhook=webhook_id, count=count)
    if json:
        for entry in entries:
            print_json(_log_record(entry))
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
        tell("nothing was sent yet")


@webhook.command(epilog="Try: reelmill webhook redeliver msg_main_1767225600000-0")
def redeliver(
    message: Annotated[str, typer.Argument(help="Id of a message, as `webhook log` shows it.")],
    *,
    to: Annotated[str, typer.Option(metavar="WEBHOOK", help="Only to this webhook. Default: to all that had it.")] = "",
) -> None:
    """Send a message again, with the same id, at the next round of a sender; print to how many webhooks."""
    with _mailroom() as (mailroom, _):
        typer.echo(mailroom.redeliver(message, webhook=to))


@webhook.command(epilog="Try: reelmill webhook rotate wh_1a2b3c4d")
def rotate(webhook_id: WebhookId, *, json: Json = False) -> None:
    """Give a webhook a new secret, shown once. For 24 hours the old one signs as well."""
    with _mailroom() as (mailroom, _):
        rotated = mailroom.webhook(webhook_id).rotated()
        mailroom.replace(rotated)
    _show_secret(rotated, brought=False, json=json)


@webhook.command(epilog="Try: reelmill webhook serve")
def serve() -> None:
    """Send from here until Ctrl-C; only needed where no worker runs, since each of them does so too."""
    with _mailroom() as (_, settings):
        pass
    tell("sending what waits; Ctrl-C ends this")
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
def _mailroom() -> Generator[tuple[WebhookStore, Settings]]:
    settings = Settings.from_env(os.environ)
    if settings.embedded:
        settings = state_file.attached(settings)
    with WebhookStore.connect(settings, patience=PROMPT) as mailroom:
        yield mailroom, settings


def _read_secret(file: str) -> str:
    return _read_file("--secret-file ", file) if file else ""


def _read_file(option: str, file: str) -> str:
    try:
        return (sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")).strip()
    except (OSError, ValueError) as err:  # not text, or no path
        why = getattr(err, "strerror", None) or type(err).__name__
        raise InvalidSettings(f"{option}{file[:200]} cannot be read ({why})") from err


def _header_lines(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    return [line for line in _read_file("--header @", text[1:]).splitlines() if line.strip()]


def _trial(settings: Settings) -> Notification:
    now = time.time()
    return make_notification(
        f"msg_{settings.farm}_test_{int(now * 1000)}", "webhook.test", now, {"farm": settings.farm}
    )


def _show_secret(item: Webhook, *, brought: bool, json: bool, trial: Attempt | None = None) -> None:
    shown = "" if brought else item.secret
    if json:
        record = {"webhook": item.id, "kind": item.kind.value, "target": item.place, "events": item.events}
        said = None if trial is None else {name: getattr(trial, name) for name in ("outcome", "status", "detail")}
        print_json({**record, "secret": shown, "headers": [name for name, _ in item.headers], "test": said})
        return
    typer.echo(item.id)
    if shown:
        tell(f"secret, shown only now: {shown}")


def _state(view: WebhookView) -> str:
    if view.disabled:
        return "disabled"
    return f"failing since {_stamp(view.failing_since)}" if view.failing_since else "ok"


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _record(view: WebhookView) -> dict[str, Any]:
    return {
        "webhook": view.webhook.id,
        "kind": view.webhook.kind.value,
        "target": view.webhook.place,
        "events": view.webhook.events,
        "headers": [name for name, _ in view.webhook.headers],
        "created_at": view.created_at,
        "failing_since": view.failing_since or None,
        "disabled": view.disabled,
        "waiting": view.waiting,
        "dropped": view.dropped,
    }


def _log_record(entry: LogEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "webhook": entry.webhook,
        "message": entry.message,
        "type": entry.type,
        "outcome": entry.outcome,
        "attempt": entry.attempt,
        "status": entry.status,
        "detail": entry.detail,
        "seconds": entry.took_s,
    }
