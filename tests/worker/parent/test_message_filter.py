"""Who may write to the broker may leave anything there: a worker drops it, stays alive, and renders what is asked."""

from __future__ import annotations

import base64
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from fixtures.farm import Farm, specs
from fixtures.valkey import wait_for
from reelmill_common.broker import FETCH_WAIT_S, lists
from reelmill_common.contract import TASK_RENDER
from reelmill_common.jobs import JobState

KNOWN = "6bff68ed-cd86-56e3-a7bc-05cc72b38fe4"


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._trace,)


def message(body: object, *, task: object = TASK_RENDER, raw: bytes | None = None, **changes: Any) -> str:
    """Return a message as kombu's Redis transport writes it, with some of it changed."""
    content = json.dumps(body).encode() if raw is None else raw
    return json.dumps(
        {
            "body": base64.b64encode(content).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": f"{KNOWN}.1", "retries": 0, "timelimit": [None, None]},
            "properties": {
                "correlation_id": f"{KNOWN}.1",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "x"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": "tag",
            },
        }
        | changes
    )


def call(**kwargs: object) -> list[object]:
    """Return the body of a call."""
    return [[], kwargs, {}]


def hostile(trace: Path) -> dict[str, str]:
    """Return messages that an attacker with the password might leave."""
    good = call(job_id=KNOWN, generation=1, label="x")
    stray = call(job_id="../../etc/passwd", generation=1, label="\x1b[2J\nfake")
    ours = {"task": TASK_RENDER, "id": f"{KNOWN}.1"}
    return {
        "an unknown task": message(good, task="os.system"),
        "a task that is not a name": message(good, task=["reelmill.render"]),
        "a pickle": message(None, raw=pickle.dumps(Bomb(trace)), **{"content-type": "application/x-python-serialize"}),
        "a pickle said to be JSON": message(None, raw=pickle.dumps(Bomb(trace))),
        "yaml": message(None, raw=b"!!python/object/apply:os.system [id]", **{"content-type": "application/x-yaml"}),
        "another type of content": message(good, **{"content-type": "x/\x1b[2J"}),
        "no arguments": message(call()),
        "too many arguments": message(call(job_id=KNOWN, generation=1, run="id")),
        "arguments of other types": message(call(job_id={"a": [1]}, generation="1; --", label=7)),
        "numbers beyond any": message(call(job_id="x" * 1000, generation=10**400)),
        "an unknown job": message(stray, headers=ours | {"id": "../../etc/passwd.1"}),
        "a huge label": message(call(job_id=KNOWN, generation=1, label="x" * 5_000_000)),
        "a body that is not a call": message("hello"),
        "a call of other parts": message([1, 2, 3]),
        "half of a body": message(None, raw=b"[[], {"),
        "another job's id": message(good, headers=ours | {"id": "other.1"}),
        "no headers": message(good, headers={}),
        "a time limit that is none": message(good, headers=ours | {"timelimit": "x"}),
        "a date that is none": message(good, headers=ours | {"eta": "tomorrow", "expires": [1]}),
        "an order of Celery's": message(good, headers=ours | {"group": 7, "chord": "x", "retries": "all"}),
    }


def no_envelopes() -> dict[str, str]:
    """Return what kombu itself cannot read."""
    good = call(job_id=KNOWN, generation=1, label="x")
    return {
        "no JSON": "garbage \x1b[2J",
        "a list": "[]",
        "a number": "7",
        "an empty envelope": "{}",
        "no properties": message(good, properties={}),
        "a body that is a number": json.dumps(json.loads(message(good)) | {"body": 7}),
        "a body that is not base64": json.dumps(json.loads(message(good)) | {"body": "%%%é"}),
        "headers that are a list": message(good, headers=[1]),
        "half of a character": '{"body": "\\ud800"}',
        "a nest without end": "[" * 100_000,
    }


@pytest.mark.services
@pytest.mark.timeout(240)
def test_hostile_messages_are_dropped_and_the_worker_goes_on(make_farm: Callable[..., Farm], tmp_path: Path) -> None:
    farm = make_farm(renderer="fixed:0.05", lease_s=60.0)
    worker = farm.start()
    child, parent = farm.child_pid(worker), worker.parent_pid
    queue, trace = lists(farm.settings, "tiny")[0], tmp_path / "trace"
    with redis.Redis.from_url(farm.settings.redis_url) as broker:
        broker.lpush(queue, *no_envelopes().values(), *hostile(trace).values())
        wait_for(lambda: not broker.llen(queue), timeout_s=90, what="an empty queue")
    jobs = farm.submit("night", specs(3))
    farm.wait_done("night")

    assert farm.ledger.batches.get("night").counts[JobState.SUCCEEDED] == 3
    assert (farm.child_pid(worker), worker.parent_pid) == (child, parent)  # neither process was restarted
    assert not trace.exists()
    assert (farm.settings.state_dir / "spool" / worker.node).stat().st_mode & 0o077 == 0
    assert farm.attempts(jobs) == 3
    assert "\x1b" not in worker.log.read_text()
    # Those that are left say less than they would like to, and are refused at claim.
    harmless = ("an unknown job", "a time limit that is none", "a date that is none", "an order of Celery's")
    count = len(no_envelopes()) + len(hostile(trace)) - len(harmless)
    wait_for(lambda: len(worker.events("message.dropped")) >= count, what="word of each that was dropped")
    assert len(worker.events("message.dropped")) == count


def test_an_idle_worker_does_not_wait_for_the_end_of_its_fetch(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.05")
    worker = farm.start()
    farm.submit("night", specs(1))
    farm.wait_done("night")

    asked = time.monotonic()
    worker.terminate()

    assert worker.wait() == 0
    assert time.monotonic() - asked < FETCH_WAIT_S * 0.8
    assert not worker.events("tick.failed")
