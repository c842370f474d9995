"""Every route of the OpenAPI document, tried by those who may not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fixtures.hand import Hand
from fixtures.repository import ROOT
from fixtures.valkey import wait_for
from fixtures.visitor import Answer, Visitor
from reelmill_common.access import Role
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_producer.web.authentication import COOKIE, CSRF_HEADER, PROXY_HEADER

FREE = {("get", "/healthz"), ("get", "/readyz")}
SIGN_IN = ("post", "/api/v1/session")
NAMES = {
    "batch": "theirs",
    "row": "fox",
    "worker": "hand@test",
    "schedule": "nightly",
    "owner": "them",
    "webhook": "wh_1",
}
BODIES: dict[tuple[str, str], object] = {
    ("put", "/batches/{batch}"): {"rows": ["a fox"]},
    ("post", "/batches"): {"rows": ["a fox"]},
    ("post", "/batches:check"): {"rows": ["a fox"]},
    ("patch", "/batches/{batch}"): {"priority": 9},
    ("post", "/workers/{worker}/quarantine"): {"reason": "smoke"},
    ("put", "/schedules/{schedule}"): {"cron": "0 22 * * *", "tz": "UTC", "rows": ["a fox"]},
    ("put", "/owners/{owner}"): {"max_in_flight": 0},
    ("post", "/webhooks"): {"target": "https://hooks.example.com/x"},
    ("post", "/v1/videos"): {"prompt": "a fox"},
    ("put", "/batches/{batch}/jobs/{row}/choice"): {"mark": "favourite"},
}
OPERATORS_ONLY = ("/workers/", "/owners/", "/webhooks")
READS_BY_POST = {("post", "/batches:check")}


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path of the API."""

    method: str
    path: str

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path.removeprefix("/api/v1")

    @property
    def changes(self) -> bool:
        return self.method != "get"

    @property
    def is_of_batch(self) -> bool:
        """Whether its path names a thing that has an owner."""
        return any(f"{{{name}}}" in self.path for name in ("batch", "job_id", "schedule", "video_id"))


def routes() -> Iterator[Route]:
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    for path, methods in document["paths"].items():
        for method in methods:
            if (method, path) not in FREE and (method, path) != SIGN_IN:
                yield Route(method, path)


ROUTES = list(routes())
IDS = [f"{route.method} {route.path}" for route in ROUTES]


@pytest.fixture
def doors(make_console: Callable[..., Visitor], hand: Hand) -> tuple[Visitor, dict[str, str]]:
    """A console that wants tokens, on a farm with a batch, a clip and a schedule of another owner; and tokens."""
    ledger = hand.ledger
    job = RenderJob(batch="theirs", row="fox", spec=RenderSpec(prompt="a fox", profile="tiny"))
    ledger.batches.submit(Batch(name="theirs", owner="them"), [job])
    hand.finish(hand.claim())
    visitor = make_console(is_open=False, console_rate=0)
    make = ledger.tokens.make
    tokens = {
        "operator": make("boss", Role.OPERATOR),
        "viewer": make("eyes", Role.VIEWER),
        "other": make("me", Role.SUBMITTER, "me"),
        "theirs": make("them", Role.SUBMITTER, "them"),
        "their viewer": make("their-eyes", Role.VIEWER, "them"),
        "revoked": make("gone", Role.OPERATOR),
        "expired": make("old", Role.OPERATOR, None, time.time() + 1.0),
        "wrong": "rmt_" + "A" * 43,
        "none": "",
    }
    ledger.tokens.revoke("gone")
    operator = replace(visitor, token=tokens["operator"])
    made = operator("PUT", "schedules/nightly", {"cron": "0 22 * * *", "tz": "UTC", "rows": ["a fox"],
                                                  "policy": {"owner": "them"}})  # fmt: skip
    assert made.status == 200, made.body
    wait_for(lambda: replace(visitor, token=tokens["expired"])("GET", "session").status == 401, what="it expires")
    return visitor, tokens


def asked(visitor: Visitor, route: Route, ledger: Ledger) -> Answer:
    job_id = next(iter(ledger.jobs.page("theirs"))).job_id
    names = {**NAMES, "job_id": job_id, "video_id": job_id}
    body: Any = BODIES.get(route.key)
    return visitor(route.method.upper(), route.path.format_map(names), body)


def test_no_route_answers_without_a_valid_token(doors: tuple[Visitor, dict[str, str]], ledger: Ledger) -> None:
    visitor, tokens = doors

    wrong = {
        (kind, route.method, route.path): answer.status
        for route in ROUTES
        for kind in ("none", "wrong", "expired", "revoked")
        if (answer := asked(replace(visitor, token=tokens[kind]), route, ledger)).status != 401
        or (b"invalid_api_key" if route.path.startswith("/v1/") else b"not_signed_in") not in answer.body
    }

    assert len(ROUTES) >= 45
    assert wrong == {}


def test_what_belongs_to_another_owner_is_not_there(doors: tuple[Visitor, dict[str, str]], ledger: Ledger) -> None:
    visitor, tokens = doors
    before = ledger.batches.get("theirs"), ledger.schedules.get("nightly")

    found = {
        (route.method, route.path): asked(replace(visitor, token=tokens["other"]), route, ledger)
        for route in ROUTES
        if route.is_of_batch
    }

    taken = {("put", "/api/v1/batches/{batch}"), ("put", "/api/v1/schedules/{schedule}")}
    assert len(found) >= 25
    assert {
        key: answer.status for key, answer in found.items() if answer.status != (409 if key in taken else 404)
    } == {}
    assert not [key for key, answer in found.items() if b"them" in answer.body.replace(b"theirs", b"")]
    assert (ledger.batches.get("theirs"), ledger.schedules.get("nightly")) == before


def test_a_viewer_changes_nothing(doors: tuple[Visitor, dict[str, str]], ledger: Ledger) -> None:
    visitor, tokens = doors

    found = {
        (kind, route.method, route.path): answer.status
        for route in ROUTES
        if route.changes and "session" not in route.path
        for kind in ("viewer", "their viewer")
        if (answer := asked(replace(visitor, token=tokens[kind]), route, ledger)).status
        != (404 if "video_id" in route.path else 403)  # the job is not a video
    }

    assert found == {}


def test_a_submitter_does_not_steer_the_farm_itself(doors: tuple[Visitor, dict[str, str]], ledger: Ledger) -> None:
    visitor, tokens = doors
    only = [
        route for route in ROUTES if route.key[1].startswith(OPERATORS_ONLY) and (route.changes or "hook" in route.path)
    ]

    found = [asked(replace(visitor, token=tokens["theirs"]), route, ledger).status for route in only]

    assert len(only) >= 7
    assert set(found) == {403}


def test_lists_hold_only_what_a_token_may_see(doors: tuple[Visitor, dict[str, str]], ledger: Ledger) -> None:
    visitor, tokens = doors
    mine, theirs = (replace(visitor, token=tokens[kind]) for kind in ("other", "theirs"))

    lists = ("batches", "schedules", "owners", "accounts")

    assert [theirs("GET", path).json["items"] != [] for path in lists] == [True] * 4
    assert [mine("GET", path).json["items"] for path in lists] == [[], [], [], []]
    assert mine("GET", "plan").json["batches"] == []


def test_a_submitter_has_its_owner_and_no_other(doors: tuple[Visitor, dict[str, str]], ledger: Ledger) -> None:
    visitor, tokens = doors
    mine = replace(visitor, token=tokens["other"])

    assert mine("PUT", "batches/mine", {"rows": ["a fox"]}).status == 200
    assert ledger.batches.get("mine").owner == "me"
    assert mine("PUT", "batches/more", {"rows": ["a fox"]}, owner="them").status == 403
    assert mine("PUT", "batches/more", {"rows": ["a fox"], "policy": {"owner": "them"}}).status == 403
    yaml = b"batch:\n  owner: them\njobs:\n- prompt: a fox\n"
    assert mine("PUT", "batches/more", yaml, kind="application/yaml").status == 403
    assert not ledger.batches.exists("more")


def test_a_browser_signs_in_with_a_token_and_proves_its_changes(
    doors: tuple[Visitor, dict[str, str]], ledger: Ledger
) -> None:
    visitor, tokens = doors

    signed = visitor("POST", "session", {"token": tokens["theirs"]})
    cookie = signed.headers["set-cookie"]
    browser = replace(visitor, headers={"Cookie": cookie.partition(";")[0]})
    csrf = browser("GET", "session").json["csrf"]

    assert signed.status == 200
    assert signed.json["owner"] == "them"
    assert cookie.startswith(f"{COOKIE}=rmt_")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert browser("POST", "batches/theirs/pause").status == 403
    assert browser("POST", "batches/theirs/pause", headers={CSRF_HEADER: "x"}).status == 403
    assert browser("POST", "batches/theirs/pause", headers={CSRF_HEADER: csrf}).status == 200
    assert visitor("POST", "session", {"token": tokens["revoked"]}).status == 401
    ledger.tokens.revoke("them")
    assert browser("GET", "session").status == 401


def test_what_a_proxy_adds_to_a_browsers_requests_changes_nothing_without_proof(
    doors: tuple[Visitor, dict[str, str]], ledger: Ledger
) -> None:
    """Such a request may have been made by a page of any site: that the proxy lets it in says nothing of the page."""
    visitor, tokens = doors
    operator, cookie = tokens["operator"], f"{COOKIE}={tokens['theirs']}"
    before = ledger.batches.get("theirs"), ledger.schedules.get("nightly")
    added: list[dict[str, str]] = [
        {PROXY_HEADER: operator},
        {PROXY_HEADER: operator, "Authorization": f"Bearer {operator}"},
        {"Cookie": cookie, "Authorization": f"Bearer {operator}"},
        {"Cookie": cookie, "Authorization": "Basic YW5uOnNlY3JldA=="},
        {"Cookie": cookie, "Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"Cookie": cookie},
    ]

    passed = [
        (route, headers)
        for route in ROUTES
        if route.changes
        for headers in added
        if asked(replace(visitor, headers=headers), route, ledger).status != 403
    ]

    assert passed == []
    assert (ledger.batches.get("theirs"), ledger.schedules.get("nightly")) == before
    for headers in added:
        browser = replace(visitor, headers=headers)
        csrf = {CSRF_HEADER: browser("GET", "session").json["csrf"]}
        assert browser("POST", "batches/theirs/pause", headers=csrf).status == 200, headers
    names = [replace(visitor, headers=headers)("GET", "session").json["name"] for headers in added]
    assert names == ["boss"] * 3 + ["them"] * 3


def test_a_page_of_another_site_changes_nothing(console: Visitor, ledger: Ledger) -> None:
    body = b"a fox\n"

    by_origin = console("PUT", "batches/b", body, kind="text/plain", headers={"Origin": "https://evil.example"})
    by_fetch = console("PUT", "batches/b", body, kind="text/plain", headers={"Sec-Fetch-Site": "cross-site"})
    own = console("PUT", "batches/b", body, kind="text/plain", headers={"Origin": console.url.rstrip("/")})

    assert [by_origin.status, by_fetch.status, own.status] == [403, 403, 200]
