"""Pages: `index.html` for each address of the console's pages, and the static files beside it."""

from __future__ import annotations

import html
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
PAGES = (
    "/",
    "/submit",
    "/batches",
    "/batches/{batch}",
    "/batches/{batch}/{row}",
    "/schedules",
    "/accounts",
    "/workers",
    "/sign-in",
)
"""Addresses of pages; what each shows is decided in the browser."""
HEAD = "<head>"


def add_pages(app: FastAPI) -> None:
    """Serve the pages, and the files of the folder `static` under `/static`."""
    for path in PAGES:
        app.add_api_route(path, _page, methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")


async def _page(request: Request) -> Response:
    """Return the page, with the address that its relative links start from: a proxy may show it under a path."""
    text = (STATIC / "index.html").read_text("utf-8")
    base = html.escape(f"{request.scope.get('root_path', '')}/")
    return HTMLResponse(text.replace(HEAD, f'{HEAD}<base href="{base}">', 1))
