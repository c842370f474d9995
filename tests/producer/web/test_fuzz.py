"""Requests that schemathesis makes from the OpenAPI document: no 5xx, and nothing that the document does not have.

`make fuzz` sends at least 10,000; `make test` some hundred.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fixtures.hand import Hand
from fixtures.repository import ROOT
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_producer.web.server import in_background

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "300"))
KNOWN = {"batch": "night", "row": "fox", "worker": "hand@test", "schedule": "nightly", "owner": "studio"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LEFT_OUT = r"/events$|/session$"
"""Streams do not end, and a session has nothing to find: both have tests of their own."""

DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(path_regex=LEFT_OUT)
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
EACH = REQUESTS * 6 // 5 // len(OPERATIONS) + 1
"""Requests to each operation; those without parameters have fewer different ones."""

sent: Counter[int] = Counter()


@pytest.fixture(scope="module")
def api(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A console that wants tokens, on a farm with something of everything: its URL, and a token."""
    folder = tmp_path_factory.mktemp("fuzz")
    farm = Settings(
        redis_url=valkey_server.url, farm="fuzz", store_url=f"file://{folder}/store", state_dir=folder, profile="tiny",
        console_port=0, console_rate=0,
    )  # fmt: skip
    with Ledger.connect(farm) as ledger, Reelmill(farm) as sdk, in_background(farm, is_open=False) as url:
        hand = Hand(settings=farm, ledger=ledger)
        hand.ready()
        sdk.submit_many([{"id": "fox", "prompt": "a fox"}, {"id": "owl", "prompt": "an owl"}], batch="night")
        hand.finish(hand.claim())
        hand.fail(hand.claim())
        yield url.rstrip("/"), ledger.tokens.make("fuzz", Role.OPERATOR)


@schemathesis.hook
def map_path_parameters(_context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Let every other request be about something that is there."""
    if parameters and sum(len(str(value)) for value in parameters.values()) % 2:
        return {name: KNOWN.get(name, value) for name, value in parameters.items()}
    return parameters


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_is_answered_otherwise_than_documented(api: tuple[str, str], operation: Any) -> None:
    url, token = api

    @given(case=operation.as_strategy())
    @settings(max_examples=EACH, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        case.cookies = {}  # a request with our cookie comes from a browser, whose changes need a proof
        response = case.call(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        sent[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    ask()


@pytest.mark.services
def test_as_much_was_sent_as_was_asked_for() -> None:
    assert sent.total() >= REQUESTS
    assert not [status for status in sent if status >= 500]
    if "FUZZ_REQUESTS" in os.environ:
        print(f"{sent.total():,} requests by status: {dict(sorted(sent.items()))}")
