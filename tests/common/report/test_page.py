"""Reports: what they count, what the sheet shows whatever people write, and who makes them."""

from __future__ import annotations

import dataclasses
import re

from common.report_steps import EVIL, finish, report_of, submit
from fixtures.hand import Hand
from fixtures.page import Page
from reelmill_common.ledger import Ledger
from reelmill_common.report.page import page, relative


def test_the_sheet_shows_every_job_and_nothing_that_somebody_wrote_is_markup(night: Ledger) -> None:
    html = page(report_of(night), link=relative)
    shown = Page(html)

    assert len(shown.all("figure")) == 5
    assert [figure.get("class") for figure in shown.all("figure")].count("failed") == 3
    assert shown.text.count(EVIL) == 3  # a prompt, and the message of a failure twice
    assert {attributes.get("src") for attributes in shown.all("img")} == {
        "../../night/r0-12345678.jpg",
        "../../night/r1-12345678.jpg",
    }
    assert len(shown.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)


def test_the_sheet_lets_nothing_in_but_its_own_style_and_script(night: Ledger) -> None:
    shown = Page(page(report_of(night), link=relative))

    (policy,) = [
        str(meta["content"]) for meta in shown.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}';", policy)
    assert "unsafe" not in policy
    assert not shown.all("link")


def test_a_sheet_of_2000_clips_is_light(ledger: Ledger, hand: Hand) -> None:
    submit(ledger, ["a small wooden boat drifts across a calm lake at sunrise, mist over the water"])
    finish(hand, {"denoise": 1.0})
    report = report_of(ledger)
    many = dataclasses.replace(report, entries=[*report.entries] * 2000)

    assert len(page(many, link=relative).encode()) < 1_800_000
