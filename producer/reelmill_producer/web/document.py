"""The OpenAPI document: what FastAPI derives from the routes, and who may call them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from reelmill_producer.web.authentication import COOKIE
from reelmill_producer.web.problems import MEDIA_TYPE

FREE = ("/healthz", "/readyz")
"""Paths that need no token."""
SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of `reelmill token add`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The cookie of POST /api/v1/session; changes need the header `X-Reelmill-CSRF` too.",
    },
}
_DEFAULTS = ("HTTPValidationError", "ValidationError")
"""Schemas of FastAPI's own answer to what it cannot read; ours are problems."""
_METHODS = ("get", "put", "post", "patch", "delete")


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application, made once."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        shared: dict[str, Any] = {}
        for name in _DEFAULTS:
            made["components"]["schemas"].pop(name, None)
        made["components"].update(securitySchemes=SCHEMES, responses=shared)
        for path, item in made["paths"].items():
            for method in _METHODS:
                if method not in item:
                    continue
                _share(item[method]["responses"], shared)
                if path not in FREE and (method, path) != ("post", "/api/v1/session"):
                    item[method]["security"] = [{"token": []}, {"session": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _share(responses: dict[str, Any], shared: dict[str, Any]) -> None:
    """Replace the errors, which most operations may answer, by references to one of each."""
    for status, found in list(responses.items()):
        schema = found.get("content", {}).get("application/json", {}).get("schema", {})
        if int(status) < 400 or not schema:
            continue
        if schema.get("$ref", "").endswith(_DEFAULTS):
            del responses[status]
            continue
        is_problem = schema == {"$ref": "#/components/schemas/ProblemDetails"}
        name = f"{'Problem' if is_problem else 'Error'}{status}"
        kind = MEDIA_TYPE if is_problem else "application/json"
        shared[name] = {"description": found["description"], "content": {kind: {"schema": schema}}}
        responses[status] = {"$ref": f"#/components/responses/{name}"}
