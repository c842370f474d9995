"""Flower for the tests: its pages, asked with a login or without."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

LOGIN = "night-shift:a long password: with a colon"


def ask(
    port: int,
    path: str,
    *,
    login: str | bytes | None = LOGIN,
    data: bytes | None = None,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Return status and body of one page."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, method=method, headers=dict(headers or {})
    )
    if login is not None:
        known = login.encode() if isinstance(login, str) else login
        request.add_header("Authorization", "Basic " + base64.b64encode(known).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, err.read().decode()
    except urllib.error.URLError:
        return 0, ""  # it does not listen yet


def rows(port: int) -> list[dict[str, object]]:
    """Return the table of tasks as the page fetches it."""
    query = {"draw": 1, "start": 0, "length": 50, "order[0][column]": 0, "columns[0][data]": "name"}
    status, body = ask(port, "/tasks/datatable?" + urllib.parse.urlencode(query))
    return json.loads(body)["data"] if status == 200 else []
