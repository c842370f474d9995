"""Pages: one document at every address, with the base that its links start from."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fixtures.visitor import Visitor
from reelmill_producer.web.pages import PAGES


@pytest.mark.parametrize("path", PAGES)
def test_every_address_of_a_page_answers_with_it(console: Visitor, path: str) -> None:
    page = console("GET", path.format(batch="night", row="fox"))

    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'<base href="/">' in page.body


def test_no_page_has_a_script_or_style_of_its_own(console: Visitor) -> None:
    page = console("GET", "/").body.decode()

    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert "<style" not in page
    assert re.findall(r"\son\w+=", page) == []


@pytest.mark.parametrize("stripped", [False, True], ids=["the proxy keeps the path", "the proxy takes the path off"])
def test_the_console_works_under_a_path(make_console: Callable[..., Visitor], stripped: bool) -> None:
    console = make_console(console_root_path="/farm")
    path = console.url.rstrip("/").removesuffix("/farm")
    there = Visitor(url=path if stripped else console.url)

    page = there("GET", "/batches/night").body.decode()

    assert '<base href="/farm/">' in page
    assert there("GET", "farm").status == 200
    assert there("GET", "/static/app.js").status == 200


def test_a_browser_keeps_the_files_of_the_pages_and_asks_whether_they_changed(console: Visitor) -> None:
    first = console("GET", "/static/app.js")
    again = console("GET", "/static/app.js", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status, again.body) == (304, b"")
