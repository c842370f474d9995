"""Sheets: their links lead into the API, and their policy names their own script."""

from __future__ import annotations

import re

from fixtures.hand import Hand
from reelmill_common.report.facts import gather
from reelmill_producer.client import Reelmill
from reelmill_producer.web.sheets import sheet_of


def test_links_are_relative_to_the_report_and_the_policy_lets_its_script_run(client: Reelmill, hand: Hand) -> None:
    client.submit_many([{"id": "fox", "prompt": "a fox"}], batch="night")
    hand.finish(hand.claim())

    page, policy = sheet_of(gather(client.batch("night"), client.jobs("night"), made_at=0))

    assert {"clips/fox", "clips/fox/poster", "jobs/fox/recipe"} <= set(
        re.findall(r'(?:src|href|data-clip)="([^"]+)"', page)
    )
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert "frame-ancestors 'none'" in policy
