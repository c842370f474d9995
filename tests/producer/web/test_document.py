"""The OpenAPI document."""

from __future__ import annotations

import json

from fixtures.repository import ROOT
from reelmill_producer.web.authentication import COOKIE

DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
METHODS = ("get", "put", "post", "patch", "delete")
FREE = {("get", "/healthz"), ("get", "/readyz"), ("post", "/api/v1/session")}


def test_every_operation_but_health_and_sign_in_wants_a_token() -> None:
    without = {
        (method, path)
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item and item[method].get("security") != [{"token": []}, {"session": []}]
    }

    assert without == FREE
    assert DOCUMENT["components"]["securitySchemes"]["session"]["name"] == COOKIE


def test_problems_are_named_once_with_their_own_type() -> None:
    shared = DOCUMENT["components"]["responses"]

    assert {"Problem401", "Problem404", "Problem422", "Problem429", "Problem503"} <= set(shared)
    kinds = {kind for name, item in shared.items() if name.startswith("Problem") for kind in item["content"]}
    assert kinds == {"application/problem+json"}


def test_every_operation_and_parameter_says_what_it_is() -> None:
    operations = [item[method] for item in DOCUMENT["paths"].values() for method in METHODS if method in item]

    assert len(operations) >= 50
    assert [item["operationId"] for item in operations if not item.get("description")] == []
    bare = [
        (item["operationId"], parameter["name"])
        for item in operations
        for parameter in item.get("parameters", ())
        if parameter["in"] == "query" and not parameter.get("description")
    ]
    assert bare == []
