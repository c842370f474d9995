"""Flower as a person sees it: the password, and the table of tasks with our columns, in a real browser."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Error, Page

from fixtures.cli import started
from fixtures.farm import Farm
from fixtures.s3 import free_port
from reelmill_common.jobs import RenderSpec

USER, PASSWORD = "night-shift", "a long password"
HEADINGS = ["Received", "Batch", "Seed", "Prompt", "State", "Stage", "Worker", "Worker class", "Runtime", "UUID"]
SCREENSHOT = Path(__file__).parents[2] / "docs" / "flower.png"
MOST_BYTES = 150_000
PROMPTS = [
    "a red fox walks through deep snow at dawn",
    "an owl takes off from a branch, slow motion, seen from below against a full moon over a pine forest",
    "<img src=x onerror=\"document.title='owned'\"> a hare",
    "a paper boat on a rainy street · macro",
    "waves of wheat in the evening wind",
    "a lighthouse in a storm, long exposure",
]


def in_few_colours(png: bytes) -> bytes:
    """Return a screenshot as a palette image, a third as large."""
    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128).save(small, "PNG", optimize=True)
    return small.getvalue()


def shape(page: Page, width: int) -> dict[str, Any]:
    """Return the widths in pixels of the page, of the table and of its columns that are shown, in a window so wide."""
    page.set_viewport_size({"width": width, "height": 780})
    page.wait_for_function("() => window.innerWidth === " + str(width))
    if os.environ.get("KEEP_SCREENSHOT"):
        page.screenshot(path=f"/tmp/flower-{width}.png")
    cells = page.locator(".dataTables_scrollHead th:visible")
    heads = [((cell.text_content() or "").strip(), cell.bounding_box()["width"]) for cell in cells.all()]  # type: ignore[index]
    body = page.locator(".dataTables_scrollBody")
    return {
        "page": page.evaluate("() => document.documentElement.scrollWidth"),
        "table": body.evaluate("body => body.scrollWidth"),
        "card": body.evaluate("body => body.clientWidth"),
        "heads": heads,
        **dict(heads),
    }


@pytest.mark.services
@pytest.mark.timeout(900)
def test_a_person_signs_in_and_sees_the_renders_with_our_columns(
    browser: Browser, make_farm: Callable[..., Farm]
) -> None:
    farm, port = make_farm(renderer="fixed:0.2"), free_port()
    address = f"http://127.0.0.1:{port}"
    env = farm.settings.to_env() | {"FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}"}
    with started("flower", "--port", str(port), env=env) as running:
        running.wait_for_line("Flower listens")
        worker = farm.start()
        specs = [RenderSpec(prompt=text, seed=number, frames=5, profile="tiny") for number, text in enumerate(PROMPTS)]
        farm.submit("night-7", specs)
        farm.wait_done("night-7")
        anonymous = browser.new_page()
        try:
            seen = anonymous.goto(f"{address}/tasks")
            refused = seen is not None and seen.status == 401
        except Error as err:  # a shell without a dialog for passwords says it so
            refused = "AUTH" in str(err)
        context = browser.new_context(
            http_credentials={"username": USER, "password": PASSWORD}, viewport={"width": 1640, "height": 780}
        )
        page = context.new_page()
        complaints: list[str] = []
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/tasks")
        page.locator("#tasks-table tbody tr .badge:text-is('SUCCESS')").nth(len(PROMPTS) - 1).wait_for(timeout=60_000)
        heads = [text.strip() for text in page.locator(".dataTables_scrollHead th").all_text_contents()]
        cells = [row.locator("td").all_inner_texts() for row in page.locator("#tasks-table tbody tr").all()]
        title = page.title()
        shapes = {width: shape(page, width) for width in (1280, 390)}
        page.set_viewport_size({"width": 1280, "height": 640})
        picture = in_few_colours(page.screenshot())
        context.close()

    for width, least in ((1280, 400), (390, 130)):
        assert shapes[width]["page"] <= width
        assert shapes[width]["table"] <= shapes[width]["card"]
        assert shapes[width]["Prompt"] >= least
        assert shapes[width]["UUID"] <= 100
        assert max(name_and_width[1] for name_and_width in shapes[width]["heads"]) == shapes[width]["Prompt"]
    assert [name for name, _ in shapes[390]["heads"]] == ["Batch", "Prompt", "State", "UUID"]
    assert refused
    assert heads == HEADINGS
    rows = [dict(zip(HEADINGS, [text.strip() for text in row], strict=True)) for row in cells]
    assert {(row["Seed"], row["Batch"], row["Stage"], row["Worker class"]) for row in rows} == {
        (str(number), "night-7", "rendered", "fixed:0.2") for number in range(len(PROMPTS))
    }
    shown = {row["Prompt"] for row in rows}
    assert {PROMPTS[0], PROMPTS[2], PROMPTS[3]} <= shown
    assert any(text.startswith("an owl takes off") and text.endswith("…") for text in shown)
    assert {row["Worker"] for row in rows} == {worker.node}
    assert complaints == []
    assert title == "Tasks · Flower"
    assert len(picture) <= MOST_BYTES
    if os.environ.get("KEEP_SCREENSHOT"):  # how the one in docs/ was taken
        SCREENSHOT.write_bytes(picture)


def test_the_readme_shows_flower_in_few_bytes() -> None:
    readme = Path(__file__).parents[2] / "README.md"

    assert "docs/flower.png" in readme.read_text()
    assert SCREENSHOT.stat().st_size <= MOST_BYTES
