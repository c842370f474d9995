"""The plan over HTTP."""

from __future__ import annotations

from fixtures.hand import Hand
from fixtures.visitor import Visitor


def test_the_plan_says_when_a_batch_will_be_done(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": ["a fox", "an owl"]}, window="00:00-24:00 UTC")
    hand.finish(hand.claim(), seconds={"denoise": 2.0})

    plan = console("GET", "plan", by="8h", tz="Europe/Vienna").json

    (forecast,) = plan["batches"]
    assert (forecast["batch"], forecast["remaining"], plan["left"]) == ("night", 1, 0)
    assert plan["now"] < forecast["finish_at"]
    assert forecast["spans"] == [[plan["now"], forecast["finish_at"]]]
    assert console("GET", "plan", by="soon").status == 422
