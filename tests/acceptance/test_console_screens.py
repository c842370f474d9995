"""Every page of the console on a busy farm: usable without a mouse and without eyes, on large and small screens."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from acceptance.console_steps import BUSY, DONE, Night, night
from fixtures.console import ConsoleServer, console, visiting
from fixtures.farm import Farm
from reelmill_common.access import Role
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.pipeline.prepare.tiny_model import make_trained_tiny

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]  # a browser may have to be installed first

PICTURES = Path(__file__).parents[2] / "docs" / "console"
IS_KEPT = bool(os.environ.get("KEEP_SCREENSHOT"))  # how those in docs/ are made: with the model, not with test cards
MOST_BYTES = 60_000
SCREENS = {
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "has_touch": True},
}
PAGES = {
    "tonight": ("/", ".batch-lines .progress"),
    "batches": ("/batches", "tbody .progress"),
    "batch": (f"/batches/{DONE}", ".tile img.there"),
    "batch-busy": (f"/batches/{BUSY}", ".tile[data-state=succeeded]"),
    "clip": (f"/batches/{DONE}/clip-001", ".strip img"),
    "submit": ("/submit", ".bad-lines li"),
    "schedules": ("/schedules", "tbody tr"),
    "workers": ("/workers", "tbody tr"),
    "accounts": ("/accounts", "tbody tr"),
    "sign-in": ("/sign-in", "#token"),
}
"""Address of each page, and what is there once it is drawn."""
TYPED = """id,prompt,seed
ball,A red ball rolls left on a green floor at noon,7
star,Two yellow stars rise over a blue floor at night,seven
bounce,A pink ball falls over a white floor at dawn,9
"""
READY = """() => [...document.images].every((image) => {
    const { top } = image.getBoundingClientRect();
    return !image.checkVisibility() || image.complete || top > innerHeight;
})"""


@pytest.fixture(scope="module")
def busy(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    settings = Settings(
        redis_url=valkey_server.url,
        farm="north",
        state_dir=folder / "state",
        store_url=f"file://{folder}/store",
        profile="tiny",
        renderer="model" if IS_KEPT else "fixed:0.01",
        model_dir=str(folder / "model"),
        gpu_hour_price=2.5,
        currency="EUR",
        lease_s=600.0,
        tick_s=0.5,
        log_format="json",
    )
    if IS_KEPT:
        make_trained_tiny(folder / "model")
    farm = Farm(settings=settings, folder=folder)
    try:
        with night(farm, farm.start()) as busy:
            yield busy
    finally:
        farm.close()


@pytest.fixture(scope="module")
def server(busy: Night) -> Iterator[ConsoleServer]:
    with console(busy.farm) as running:
        yield running


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_is_accessible_fits_the_screen_and_asks_no_other_server(
    browser: Browser, server: ConsoleServer, screen: str
) -> None:
    options = SCREENS[screen]
    with visiting(browser, server, **options) as visit:
        visit.go(server, "/sign-in")
        look(visit.page, "sign-in", screen)
        visit.sign_in(server, server.token(f"ada-{screen}", Role.OPERATOR))
        for name, (path, part) in PAGES.items():
            if name == "sign-in":
                continue
            visit.go(server, path)
            if name == "submit":
                visit.page.locator("#prompts").fill(TYPED)
            expect(visit.page.locator(part).first).to_be_visible()
            visit.page.wait_for_function(READY)
            look(visit.page, name, screen)
            assert visit.sideways() <= 0, name


def look(page: Page, name: str, screen: str) -> None:
    """Check what axe finds serious on a page, and keep its picture if that is asked for."""
    page.locator("h1").first.wait_for()
    found = Axe().run(page).response["violations"]
    serious = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found if one["impact"] != "minor"]
    assert not serious, (name, screen, serious)
    if IS_KEPT:
        (PICTURES / f"{name}-{screen}.jpg").write_bytes(in_few_bytes(page.screenshot()))


def in_few_bytes(png: bytes) -> bytes:
    """Return a screenshot as a JPEG of at most `MOST_BYTES`."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in range(82, 20, -4):
        small = io.BytesIO()
        picture.save(small, "JPEG", quality=quality, optimize=True, progressive=True)
        if small.tell() <= MOST_BYTES:
            break
    return small.getvalue()


def test_the_pictures_of_the_pages_are_there_and_small() -> None:
    named = {f"{name}-{screen}.jpg" for name in PAGES for screen in SCREENS}

    assert named <= {path.name for path in PICTURES.iterdir()}
    assert max(path.stat().st_size for path in PICTURES.iterdir()) <= MOST_BYTES
