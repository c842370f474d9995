"""The OpenAPI document: what FastAPI derives from the routes, and who may call them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from reelmill_producer.web.authentication import COOKIE
from reelmill_producer.web.problems import MEDIA_TYPE
from reelmill_producer.web.schemas import PROBLEMS

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
_METHODS = ("get", "put", "post", "patch", "delete")


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application, made once."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        shared: dict[str, Any] = {}
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
    """Replace the problems, which most operations may answer, by references to one of each."""
    for status, found in responses.items():
        schema = found.get("content", {}).get("application/json", {}).get("schema", {})
        if int(status) in PROBLEMS and schema.get("$ref", "").endswith("/ProblemDetails"):  # not OpenAI's errors
            name = f"Problem{status}"
            shared[name] = {"description": found["description"], "content": {MEDIA_TYPE: {"schema": schema}}}
            responses[status] = {"$ref": f"#/components/responses/{name}"}
