"""The contact sheet in a real browser: 200 clips of a real farm, played and filtered; its commands mend failures."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from fixtures.cli import program
from fixtures.farm import Farm
from fixtures.hand import Hand
from fixtures.receiver import Receiver, receiver
from fixtures.valkey import wait_for
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]  # a browser may have to be installed first

CLIPS = 200
SHORT: dict[str, Any] = {"frames": 5, "profile": "tiny"}
KINDS = {"bad_output": 7, "prompt_too_long": 3, "out_of_memory": 2}
"""Failures of the batch, by cause."""
HOPELESS = KINDS["prompt_too_long"]
"""Those that another try cannot mend: no command is given for them."""


@pytest.fixture(scope="module")
def farm(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("sheet")
    settings = Settings(
        redis_url=valkey_server.url,
        farm="sheet",
        state_dir=folder / "state",
        store_url=f"file://{folder}/store",
        profile="tiny",
        renderer="fixed:0.001",
        video_preset="ultrafast",
        tick_s=0.5,
        notify_scheme="http",
        notify_allow="127.0.0.1",
        log_format="json",
    )
    farm = Farm(settings=settings, folder=folder)
    try:
        yield farm
    finally:
        farm.close()


@pytest.fixture(scope="module")
def notified(farm: Farm) -> Iterator[Receiver]:
    """A receiver of webhooks that wants to know of batches."""
    with receiver() as taker:
        added = program(
            "webhook", "add", taker.url, "--event", "batch.finished", "--no-test", env=farm.settings.to_env()
        )
        assert added.status == 0, added.err
        yield taker


@pytest.fixture(scope="module")
def sheet(farm: Farm, notified: Receiver) -> Path:
    """A batch of 200: some clips have failed for three causes, and a real worker renders the others."""
    jobs = [
        RenderJob(batch="night", row=f"row-{seed:03d}", spec=RenderSpec(prompt=prompt(seed), seed=seed, **SHORT))
        for seed in range(CLIPS)
    ]
    farm.ledger.batches.submit(Batch(name="night", owner="ada"), jobs)
    hand = Hand(settings=farm.settings, ledger=farm.ledger)
    hand.ready()
    for code, count in KINDS.items():
        for _ in range(count):
            hand.fail(hand.claim(), code, f"it was {code}")
    farm.ledger.workers.retire(hand.name)
    farm.start()
    farm.wait_done("night", timeout_s=120)
    made = farm.settings.store_url.removeprefix("file://") + "/reports/night/sheet.html"
    wait_for(lambda: Path(made).is_file(), what="the sheet, made by the worker's parent")
    return Path(made)


def prompt(index: int) -> str:
    return f"A {('fox', 'owl', 'heron')[index % 3]} crosses river number {index}, <b>slow</b> pan"


@pytest.fixture
def opened(browser: Browser, sheet: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda err: complaints.append(str(err)))
    page.goto(sheet.as_uri())
    yield page
    context.close()
    assert complaints == []


def test_it_shows_all_plays_one_and_filters(opened: Page) -> None:
    stored = CLIPS - sum(KINDS.values())

    expect(opened.locator("figure")).to_have_count(CLIPS)
    expect(opened.locator("h1")).to_have_text(f"night: {stored} of {CLIPS} clips")
    expect(opened.get_by_text("<b>slow</b>").first).to_be_visible()
    picture = opened.locator("figure:not(.failed) img").first
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128

    opened.locator("figure:not(.failed) button").first.click()
    video = opened.locator("video")
    wait_for(lambda: video.evaluate("video => video.currentTime") > 0.05, what="the clip playing")
    assert video.evaluate("video => video.clientWidth / video.clientHeight") == pytest.approx(26 / 15, rel=0.02)
    expect(opened.locator("figure:has(video) button")).to_be_hidden()

    opened.get_by_label("Filter by state").select_option("failed")
    expect(opened.locator("figure:visible")).to_have_count(sum(KINDS.values()))
    opened.get_by_label("Filter by state").select_option("")
    opened.get_by_label("Filter by text").fill("owl 31,")
    expect(opened.locator("figure:visible")).to_have_count(1)
    expect(opened.locator("output")).to_have_text(f"1 of {CLIPS}")


def test_a_phone_gets_one_column_and_nothing_to_push_sideways(browser: Browser, sheet: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, color_scheme="dark")
    page = context.new_page()
    page.goto(sheet.as_uri())

    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")

    assert widths[0] <= widths[1]
    context.close()


def test_the_causes_are_grouped_and_their_commands_mend_them(farm: Farm, notified: Receiver, opened: Page) -> None:
    causes = opened.locator(".causes li")
    expect(causes).to_have_count(3)
    commands = [shlex.split(text) for text in opened.locator(".causes code").all_inner_texts()]

    for command in commands:
        ran = program(*command[1:], env=farm.settings.to_env())
        assert ran.status == 0, ran.err
    view = farm.wait_done("night")
    again = program("report", "night", "--json", env=farm.settings.to_env())

    # A worker that is quick ends the batch after each of the three commands, and each end is sent, with what is true
    # when it is sent: the next command may have queued what had failed.
    last = wait_for(
        lambda: next((end for end in messages(notified) if end["counts"].get("succeeded") == CLIPS - HOPELESS), None),
        what="the last end",
    )
    first = messages(notified)[0]
    assert {failure["code"]: failure["count"] for failure in first["failures"]} == KINDS
    assert [(cause["code"], cause["count"], cause["retry"]) for cause in last["failures"]] == [
        ("prompt_too_long", HOPELESS, "")
    ]
    assert [command[:3] for command in commands] == [["reelmill", "retry", "night"]] * 2
    assert view.counts[JobState.SUCCEEDED] == CLIPS - HOPELESS
    assert [cause["code"] for cause in again.json["failures"]] == ["prompt_too_long"]
    assert again.json["counts"] == {"succeeded": CLIPS - HOPELESS, "failed": HOPELESS}


def messages(notified: Receiver) -> list[dict[str, Any]]:
    return [json.loads(item.body)["data"] for item in notified.received]
