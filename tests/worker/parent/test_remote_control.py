"""Celery's remote control: orders are refused, and what Flower asks is answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.farm import Farm, specs
from reelmill_common.broker import make_app
from reelmill_common.contract import TASK_RENDER
from reelmill_common.jobs import JobState

KNOWN = "6bff68ed-cd86-56e3-a7bc-05cc72b38fe4"


ORDERS: list[tuple[str, dict[str, object]]] = [
    ("pool_shrink", {"n": 1}),
    ("pool_grow", {"n": 3}),
    ("pool_restart", {}),
    ("autoscale", {"max": 0, "min": 0}),
    ("shutdown", {}),
    ("cancel_consumer", {"queue": "reelmill.main.tiny"}),
    ("add_consumer", {"queue": "elsewhere"}),
    ("rate_limit", {"task_name": TASK_RENDER, "rate_limit": "1/h"}),
    ("time_limit", {"task_name": TASK_RENDER, "hard": 0.001}),
    ("revoke", {"task_id": f"{KNOWN}.1", "terminate": True}),
    ("terminate", {"task_id": f"{KNOWN}.1", "signal": "KILL"}),
    ("revoke_by_stamped_headers", {"headers": {"x": "y"}}),
    ("hello", {"from_node": "other", "revoked": {f"{KNOWN}.1": 0}}),
    ("election", {"id": "x", "topic": "y"}),
    ("disable_events", {}),
    ("memdump", {}),
]


@pytest.mark.services
def test_orders_by_remote_control_are_refused_and_what_flower_asks_is_answered(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.05")
    worker = farm.start()
    child, parent = farm.child_pid(worker), worker.parent_pid
    control = make_app(farm.settings).control

    for order, arguments in ORDERS:
        answers = control.broadcast(order, arguments=arguments, reply=True, limit=1, timeout=10)
        assert "is off on the workers of Reelmill" in answers[0][worker.node]["error"], order
    asked = control.inspect(timeout=10, limit=1)
    for question in (
        "ping",
        "stats",
        "active_queues",
        "registered",
        "scheduled",
        "active",
        "reserved",
        "revoked",
        "conf",
    ):
        assert getattr(asked, question)(), question
    farm.submit("night", specs(2))
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 2
    assert (farm.child_pid(worker), worker.parent_pid) == (child, parent)
    assert {line["command"] for line in worker.events("control.refused")} == {order for order, _ in ORDERS}
