"""Webhooks: receivers of notifications. For operators only: they hear of all owners' batches."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Response

from reelmill_common.ledger.server import PROMPT
from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.notify.webhooks import ReceiverKind, Webhook
from reelmill_producer.outputs.records import webhook_record
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.farm_schemas import WebhookAsked, WebhookList, WebhookMade
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["webhooks"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.get("/webhooks", response_model=WebhookList)
def list_webhooks(caller: SomeCaller) -> dict[str, Any]:
    """List webhooks and their receivers' health."""
    with _store(caller) as store:
        return {"items": [webhook_record(view) for view in store.webhooks()]}


@router.post("/webhooks", response_model=WebhookMade, status_code=201)
def add(caller: SomeCaller, asked: WebhookAsked) -> dict[str, Any]:
    """Notify a receiver of what happens from now on."""
    with _store(caller) as store:
        made = Webhook.new(
            asked.target,
            kind=ReceiverKind(asked.kind) if asked.kind else None,
            events=tuple(asked.events),
            secret=asked.secret,
            headers=tuple(asked.headers),
        )
        store.add(made)
    return {"webhook": made.id, "secret": "" if asked.secret else made.secret}


@router.delete("/webhooks/{webhook}", status_code=204)
def remove(caller: SomeCaller, webhook: str) -> Response:
    """Remove a webhook; messages that wait for it are not sent."""
    with _store(caller) as store:
        store.remove(webhook)
    return Response(status_code=204)


@contextmanager
def _store(caller: Caller) -> Generator[WebhookStore]:
    caller.require_operator("steering webhooks")
    with WebhookStore.connect(caller.farm.settings, patience=PROMPT) as store:
        yield store
