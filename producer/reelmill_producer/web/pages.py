"""Pages: `index.html` for each address of the console's pages, and the static files beside it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

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


class RevalidatedFiles(StaticFiles):
    """Files that a browser keeps, and asks about each time: a new version of the console is whole at once."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file, or that it has not changed."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add_pages(app: FastAPI) -> None:
    """Serve the pages, and the files of the folder `static` under `/static`."""
    for path in PAGES:
        app.add_api_route(path, _page, methods=["GET"], include_in_schema=False)
    app.mount("/static", RevalidatedFiles(directory=STATIC), name="static")


async def _page(request: Request) -> Response:
    """Return the page, with the address that its relative links start from: a proxy may show it under a path."""
    text = (STATIC / "index.html").read_text("utf-8")
    base = html.escape(f"{request.scope.get('root_path', '')}/")
    return HTMLResponse(text.replace(HEAD, f'{HEAD}<base href="{base}">', 1))
