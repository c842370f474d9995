"""Owners and accounts over HTTP."""

from __future__ import annotations

from fixtures.hand import Hand
from fixtures.visitor import Visitor


def test_an_owner_has_a_share_and_an_account(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": ["a fox"]}, owner="studio")
    hand.finish(hand.claim())

    changed = console("PUT", "owners/studio", {"weight": 4, "max_in_flight": 2}).json

    assert changed == {"owner": "studio", "weight": 4, "max_in_flight": 2, "in_flight": 0}
    assert console("GET", "owners").json["items"] == [changed]
    (account,) = console("GET", "accounts", since="7d").json["items"]
    assert (account["owner"], account["clips"]) == ("studio", 1)
    assert console("GET", "accounts", owner="nobody").json["items"] == []
    assert console("PUT", "owners/studio", {"weight": 1000}).status == 422
    assert console("GET", "accounts", since="yesterday").status == 422
