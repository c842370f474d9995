"""Requests that schemathesis makes from the OpenAPI document: no 5xx, and nothing that the document does not have.

`make fuzz` sends at least 10,000; `make test` some hundred.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fixtures.hand import Hand
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_producer.web.server import in_background

EACH = int(os.environ.get("FUZZ_REQUESTS", "0")) // 45 + 1 or 1
EACH = max(EACH, 8)
"""Requests to each operation."""
KNOWN = {"batch": "night", "row": "fox", "worker": "hand@test", "schedule": "nightly", "owner": "studio"}
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)

sent: dict[int, int] = {}


@pytest.fixture(scope="module")
def api(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The schema of a console that wants a token, on a farm with something of everything."""
    folder = tmp_path_factory.mktemp("fuzz")
    farm = Settings(
        redis_url=valkey_server.url, farm="fuzz", store_url=f"file://{folder}/store", state_dir=folder, profile="tiny",
        console_port=0, console_rate=0,
    )  # fmt: skip
    with Ledger.connect(farm) as ledger, Reelmill(farm) as sdk, in_background(farm, is_open=False) as url:
        fill(sdk, Hand(settings=farm, ledger=ledger))
        token = ledger.tokens.make("fuzz", Role.OPERATOR)
        schema = schemathesis.openapi.from_url(f"{url}api/v1/openapi.json")
        schema.config.update(headers={"Authorization": f"Bearer {token}"})
        yield schema.exclude(path_regex="/events$|/session$")  # streams do not end; a sign-out ends nothing


def fill(sdk: Reelmill, hand: Hand) -> None:
    hand.ready()
    sdk.submit_many([{"id": "fox", "prompt": "a fox"}, {"id": "owl", "prompt": "an owl"}], batch="night")
    hand.finish(hand.claim())
    hand.fail(hand.claim())


@schemathesis.hook
def map_path_parameters(_context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Let every other request be about something that is there."""
    if parameters and sum(len(str(value)) for value in parameters.values()) % 2:
        return {name: KNOWN.get(name, value) for name, value in parameters.items()}
    return parameters


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=EACH, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_answered_otherwise_than_documented(case: Any) -> None:
    response = case.call(timeout=60)

    sent[response.status_code] = sent.get(response.status_code, 0) + 1
    case.validate_response(response, checks=CHECKS)


def test_enough_was_sent() -> None:
    total = sum(sent.values())

    assert total >= int(os.environ.get("FUZZ_REQUESTS", "200")), sent
    if "FUZZ_REQUESTS" in os.environ:
        Path("fuzz-api.txt").write_text(f"{total} requests: {dict(sorted(sent.items()))}\n")
