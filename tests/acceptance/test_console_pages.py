"""The console in a real browser on a real farm: from a dropped file to a chosen clip, as each role, on a phone too."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from fixtures.console import ConsoleServer, Visit, console, visiting
from fixtures.farm import Farm, specs
from fixtures.signers import signer_files
from fixtures.valkey import wait_for
from reelmill_common.access import Role
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import WorkerInfo, WorkerState
from reelmill_common.ledger.marks import ClipMark
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]  # a browser may have to be installed first

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> a red ball rolls left"
FILE = f"""id,prompt,seed,frames
ball,A red ball rolls left on a green floor at noon,7,9
star,A yellow star rises over a blue floor at night,7,10
bounce,A red ball bounces over a green floor at noon,seven,9
hostile,"{HOSTILE.replace('"', '""')}",7,9
again,A red ball rolls left on a green floor at noon,8,9
"""
MENDED = FILE.replace("7,10", "7,9").replace("seven", "7")
CLIPS = 5
DROP = """([text, name]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name, { type: "text/csv" }));
    const form = document.querySelector(".submit-page");
    form.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
    form.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def farm(valkey_server: ValkeyServer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """A farm with one worker that renders with the tiny model."""
    folder = tmp_path_factory.mktemp("console")
    signer = signer_files(folder / "signer")
    settings = Settings(
        redis_url=valkey_server.url,
        farm="console",
        state_dir=folder / "state",
        store_url=f"file://{folder}/store",
        profile="tiny",
        model_dir=str(tiny_model),
        lease_s=60.0,
        tick_s=0.5,
        video_threads=1,
        log_format="json",
        provenance_certificate=str(signer.certificate),
        provenance_key=str(signer.key),
        provenance_trust=str(signer.authority),
    )
    farm = Farm(settings=settings, folder=folder)
    try:
        farm.start()
        yield farm
    finally:
        farm.close()


@pytest.fixture(scope="module")
def server(farm: Farm) -> Iterator[ConsoleServer]:
    with console(farm) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, server: ConsoleServer) -> Iterator[Visit]:
    with visiting(browser, server, viewport={"width": 1280, "height": 800}) as visit:
        yield visit


def signed_in(visit: Visit, server: ConsoleServer, role: Role, then: str = "/") -> Page:
    name = f"{role.value}-{id(visit)}"
    owner = "" if role is Role.SUBMITTER else None
    visit.sign_in(server, server.token(name, role, owner), then)
    return visit.page


def moves(page: Page) -> bool:
    return bool(page.locator("video").first.evaluate("video => !video.paused && video.currentTime > 0.05"))


def test_a_dropped_file_is_corrected_where_it_is_wrong_and_becomes_clips_that_are_played_and_chosen(
    farm: Farm, server: ConsoleServer, visit: Visit
) -> None:
    page = signed_in(visit, server, Role.OPERATOR, "/submit")

    selected = drop_and_correct(page)
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page).to_have_url(f"{server.address}/batches/foxes-owls")
    watch_the_wall(page)
    page.locator(".tile").first.click()
    play_and_choose(page)
    more = again_with_seeds(page, server)
    page.goto(f"{server.address}/batches/foxes-owls")
    records, archived = find_and_export(page)

    asked = [(job.spec.prompt, job.spec.frames, job.spec.seed) for job in farm.ledger.jobs.page(more)]
    assert asked == [("A red ball rolls left on a green floor at noon", 9, seed) for seed in (11, 12)]
    assert selected.startswith("bounce,")
    chosen = farm.ledger.choices.chosen("foxes-owls", ClipMark.FAVOURITE)
    assert [(job.row, job.choice.note) for job in chosen if job.choice] == [("ball", "good light")]
    assert sorted(record["row"] for record in records) == ["again", "ball", "bounce", "hostile", "star"]
    assert len([name for name in archived if name.endswith(".mp4")]) == CLIPS
    assert page.title() == "foxes-owls · Batch · Reelmill"


def drop_and_correct(page: Page) -> str:
    """Drop the bad file, reload the page, and correct the text; return the line that was selected meanwhile."""
    page.locator("#prompts").wait_for()
    page.evaluate(DROP, [FILE, "Foxes & owls.csv"])
    expect(page.locator(".bad-lines li")).to_have_count(2)
    expect(page.locator(".gutter .bad")).to_have_text(["3", "4"])
    expect(page.get_by_label("Name")).to_have_value("foxes-owls")
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_disabled()
    page.get_by_role("button", name="line 4").click()
    selected = str(page.evaluate("() => getSelection().toString()"))
    page.reload()
    expect(page.locator("#prompts")).to_have_value(FILE)
    page.locator("#prompts").fill(MENDED)
    page.get_by_label("Finish by").fill("8h")
    expect(page.locator(".bad-lines li")).to_have_count(0)
    expect(page.locator(".estimate")).to_contain_text(str(CLIPS))
    return selected


def watch_the_wall(page: Page) -> None:
    """See clips come without a reload, play one by pointing at it, and mark one by keys."""
    expect(page.locator(".tile[data-state=succeeded]")).to_have_count(CLIPS)
    expect(page.locator(".batch-head .chip")).to_have_text("done")
    expect(page.locator(".inline-facts")).to_contain_text("was in time")
    expect(page.locator(".tile").nth(3)).to_contain_text(HOSTILE)
    poster = page.locator(".tile img").first
    assert poster.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.locator(".tile").first.hover()
    wait_for(lambda: page.locator(".tile video").count() and moves(page), what="the clip under the pointer playing")
    page.locator(".tile").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile:focus")).to_contain_text("star")
    page.keyboard.press("x")
    expect(page.locator(".tile[data-mark=reject]")).to_contain_text("star")


def play_and_choose(page: Page) -> None:
    """Play the clip, step by a frame, see its neighbour beside it, and mark it."""
    expect(page.get_by_role("heading", level=1)).to_have_text("ball")
    wait_for(lambda: moves(page), what="the clip playing")
    page.get_by_role("button", name="Pause").click()
    before = page.locator(".counter").inner_text()
    page.keyboard.press(".")
    expect(page.locator(".counter")).not_to_have_text(before)
    expect(page.locator(".strip li")).to_have_count(1)  # the same prompt with seed 8
    page.get_by_role("button", name="Side by side").click()
    expect(page.locator(".player video")).to_have_count(2)
    times = "() => [...document.querySelectorAll('.player video')].map((video) => video.currentTime)"
    wait_for(lambda: len(set(page.evaluate(times))) == 1, what="both clips at the same frame")
    expect(page.locator(".facts").first).to_contain_text("tiny")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".toast", has_text="The link is copied.")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    page.get_by_label("Note").fill("good light")
    page.get_by_role("button", name="Favourite").click()
    expect(page.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "true")


def again_with_seeds(page: Page, server: ConsoleServer) -> str:
    """Set up the recipe of the clip with two other seeds, and submit it; return the new batch."""
    page.get_by_role("textbox", name="Seeds").fill("11..12")
    page.get_by_role("button", name="Set up…").click()
    expect(page).to_have_url(f"{server.address}/submit")
    expect(page.locator(".estimate")).to_contain_text("2")
    name = page.get_by_label("Name").input_value()
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page).to_have_url(f"{server.address}/batches/{name}")
    return name


def find_and_export(page: Page) -> tuple[list[dict[str, Any]], list[str]]:
    """Filter the wall, and return the exported lines and the names in the archive."""
    page.get_by_label("Marked").select_option(label="★ favourites")
    expect(page.locator(".found")).to_have_text("1 found")
    expect(page.locator(".tile[data-mark=favourite]:visible")).to_contain_text("ball")
    page.get_by_label("Marked").select_option("")
    page.get_by_label("Search").fill("YELLOW star")
    expect(page.locator(".found")).to_have_text("1 found")
    with page.expect_download() as results:
        page.get_by_role("link", name="Results (JSONL)").click()
    with page.expect_download() as clips:
        page.get_by_role("link", name="All clips (zip)").click()
    with zipfile.ZipFile(clips.value.path()) as archive:
        names = archive.namelist()
    return [json.loads(line) for line in Path(results.value.path()).read_text().splitlines()], names


def test_a_batch_is_paused_cancelled_and_tried_again(farm: Farm, server: ConsoleServer, visit: Visit) -> None:
    page = signed_in(visit, server, Role.SUBMITTER)
    farm.submit("long", specs(40, frames=81))
    page.goto(f"{server.address}/batches/long")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".batch-head .chip")).to_have_text("paused")
    page.get_by_role("button", name="Policy…").click()
    page.get_by_label("Priority").fill("8")
    page.get_by_role("button", name="Change").click()
    expect(page.locator(".inline-facts")).to_contain_text("Priority8")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".tile[data-state=running]").first).to_be_visible()
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(page.locator(".tile[data-state=cancelled]").first).to_be_visible()
    view = farm.wait_done("long")
    assert view.counts[JobState.CANCELLED] > 0
    page.get_by_role("button", name="Retry").click()
    wait_for(lambda: farm.ledger.batches.get("long").remaining, what="jobs that wait again")
    expect(page.locator(".batch-head .chip")).not_to_have_text("cancelled")
    farm.ledger.batches.cancel("long")
    farm.wait_done("long")

    assert farm.ledger.batches.get("long").priority == 8


def test_a_viewer_sees_all_and_steers_nothing(farm: Farm, server: ConsoleServer, visit: Visit) -> None:
    farm.submit("seen", specs(2))
    farm.wait_done("seen")
    page = signed_in(visit, server, Role.VIEWER, "/batches/seen")

    expect(page.locator(".tile[data-state=succeeded]")).to_have_count(2)
    steering = re.compile("Pause |Policy|Cancel|Retry|Submit|Forgive|Quarantine|Favourite|Reject|Add|Run|Remove|Share")
    for path in ("/batches/seen", "/batches/seen/0000", "/", "/workers", "/schedules", "/accounts", "/batches"):
        page.goto(f"{server.address}{path}")
        page.locator("main h1").wait_for()
        expect(page.get_by_role("button", name=steering)).to_have_count(0)
        expect(page.get_by_role("link", name=re.compile("Submit"))).to_have_count(0)
    visit.wanted.append("status of 403")
    status = page.evaluate(
        """async () => {
            const { csrf } = await (await fetch("/api/v1/session")).json();
            const headers = { "X-Reelmill-CSRF": csrf, "Content-Type": "application/json" };
            const answer = await fetch("/api/v1/batches/seen/cancel", { method: "POST", headers, body: "{}" });
            return answer.status;
        }"""
    )

    assert status == 403


def test_a_page_says_that_the_connection_is_lost_and_catches_up_when_the_server_is_back(
    browser: Browser, farm: Farm
) -> None:
    jobs = [RenderJob(batch="held", row=f"row-{number}", spec=spec) for number, spec in enumerate(specs(3))]
    farm.ledger.batches.submit(Batch(name="held"), jobs)
    farm.ledger.batches.pause("held")
    with ExitStack() as page_open:
        with console(farm, root_path="/farm") as first:
            visit = page_open.enter_context(visiting(browser, first))
            visit.wanted += ["net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING"]
            page = signed_in(visit, first, Role.OPERATOR, "/batches")
            page.get_by_role("link", name="held").click()
            expect(page).to_have_url(f"{first.address}/batches/held")
            expect(page.locator("#live")).to_have_attribute("data-state", "on")
        expect(page.locator("#lost")).to_contain_text("connection to the farm is lost")
        farm.ledger.jobs.cancel(jobs[1].job_id)
        with console(farm, urlsplit(first.address).port or 0, "/farm"):
            expect(page.locator(".tile[data-state=cancelled]")).to_contain_text("row-1")
            expect(page.locator("#lost")).to_be_hidden()


def test_a_page_gives_up_a_read_that_nobody_answers_and_reads_anew(
    farm: Farm, server: ConsoleServer, visit: Visit
) -> None:
    jobs = [RenderJob(batch="mute", row=f"row-{number}", spec=spec) for number, spec in enumerate(specs(3))]
    farm.ledger.batches.submit(Batch(name="mute"), jobs)
    farm.ledger.batches.pause("mute")
    visit.page.clock.install()
    page = signed_in(visit, server, Role.OPERATOR, "/batches/mute")
    expect(page.locator(".batch-head")).to_contain_text("3 waiting")
    held: list[Route] = []
    page.route("**/api/v1/batches/mute", lambda route: held.append(route))  # noqa: PLW0108 - Playwright keeps a note on it

    farm.ledger.jobs.cancel(jobs[1].job_id)
    expect(page.locator(".tile[data-state=cancelled]")).to_contain_text("row-1")
    wait_for(lambda: page.wait_for_timeout(50) or held, what="the read that nobody answers")
    page.clock.fast_forward(31_000)
    expect(page.locator("#lost")).to_contain_text("from before: The server does not answer.")
    page.unroute("**/api/v1/batches/mute")
    page.clock.fast_forward(3_000)

    expect(page.locator(".batch-head")).to_contain_text("1 cancelled")
    expect(page.locator("#lost")).to_be_hidden()


def test_an_operator_sets_up_a_schedule_and_steers_workers_and_owners(
    farm: Farm, server: ConsoleServer, visit: Visit
) -> None:
    jobs = [RenderJob(batch="of-ada", row=f"row-{number}", spec=spec) for number, spec in enumerate(specs(1))]
    farm.ledger.batches.submit(Batch(name="of-ada", owner="ada"), jobs)
    farm.ledger.workers.register("gpu7@render-9", "other", WorkerInfo())
    farm.ledger.workers.ready("gpu7@render-9", WorkerInfo())
    farm.wait_done("of-ada")
    page = signed_in(visit, server, Role.OPERATOR, "/schedules")

    add_a_schedule(page)
    page.goto(f"{server.address}/workers")
    page.get_by_role("button", name="Quarantine gpu7@render-9").click()
    page.get_by_label("Reason").fill("green frames")
    page.get_by_role("button", name="Quarantine", exact=True).click()
    row = page.locator("tr", has_text="gpu7@render-9")
    expect(row).to_contain_text("green frames")
    quarantined = farm.worker("gpu7@render-9")
    page.goto(f"{server.address}/")
    page.get_by_role("button", name="Forgive gpu7@render-9").click()
    expect(page.locator(".gpu[data-state=quarantined]")).to_have_count(0)
    page.goto(f"{server.address}/accounts")
    page.get_by_role("button", name="Share of ada").click()
    page.locator("dialog").get_by_label("Share").fill("7")
    page.locator("dialog").get_by_label("Most at once").fill("2")
    page.get_by_role("button", name="Change").click()
    expect(page.locator("tr", has_text="ada")).to_contain_text("7, at most 2")
    farm.ledger.workers.retire("gpu7@render-9")

    assert quarantined is not None
    assert quarantined.state is WorkerState.QUARANTINED
    schedule = farm.ledger.schedules.get("each-evening").schedule
    assert (schedule.cron.expression, schedule.cron.zone.key) == ("0 22 * * *", "Europe/Vienna")


def add_a_schedule(page: Page) -> None:
    page.get_by_role("button", name="Add a schedule…").click()
    page.get_by_label("Name").fill("each-evening")
    page.get_by_label("When").fill("0 22 * * *")
    page.get_by_label("Time zone").fill("Europe/Vienna")
    page.get_by_label("Prompts").fill("a red ball rolls left\n\na yellow star rises\n")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("tr", has_text="each-evening").locator("td").nth(4)).to_have_text("2")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_can_be_pushed_sideways(browser: Browser, farm: Farm, server: ConsoleServer, width: int) -> None:
    farm.submit(f"a-batch-with-a-long-name-{width}", specs(1))
    with visiting(browser, server, viewport={"width": width, "height": 844}) as visit:
        page = signed_in(visit, server, Role.OPERATOR)
        for path in ("/", "/batches", f"/batches/a-batch-with-a-long-name-{width}", "/submit", "/workers", "/accounts"):
            page.goto(f"{server.address}{path}")
            page.locator("main h1").wait_for()
            assert visit.sideways() <= 0, path


def test_a_clips_page_says_whether_its_file_is_what_was_signed(farm: Farm, server: ConsoleServer, visit: Visit) -> None:
    farm.submit("signed", specs(1))
    farm.wait_done("signed")
    page = signed_in(visit, server, Role.VIEWER, "/batches/signed/0000")
    verdict = page.locator("dt:text-is('Verdict') + dd")
    expect(verdict).to_have_text("signed by Reelmill farm test, signer for trials, unaltered")

    (key,) = [item.key for item in farm.store.list("signed/") if item.key.endswith(".mp4")]
    changed = farm.store.get(key).replace(b"farm test, signer", b"farm best, signer")
    farm.store.put(key, changed, content_type="video/mp4", replace=True)
    page.reload()

    expect(verdict).to_contain_text("altered since it was signed")
    expect(verdict).to_contain_text("not the file that was stored")
