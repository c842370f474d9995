"""An audit of the ledger's keys: what the scripts keep as sets and counters must be what the jobs' states say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import redis

STATES = "qdrxsfc"
SETS = ("waiting", "sent", "leases", "flight", "retry", "held", "ready", "levels")


def audit(kept: dict[str, Any]) -> None:
    """Fail on a key of a snapshot that contradicts the states of its jobs, and on any that is left over."""
    jobs = {name.removeprefix("job:"): value for name, value in kept.items() if name.startswith("job:")}
    expected: dict[str, set[str]] = defaultdict(set)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    sent: dict[str, Counter[str]] = defaultdict(Counter)
    for job_id, job in jobs.items():
        batch, state = job["b"], job["s"]
        counts[batch][state] += 1
        if state == "q":
            expected[f"waiting:{batch}:{job['l']}"].add(job_id)
        if state == "d":
            expected["sent"].add(job_id)
            sent[job["l"]]["d" + job["p"]] += 1
        if state in "rx":
            expected["leases"].add(job_id)
            expected[f"held:{job['w']}"].add(job_id)
        if state in "drx":
            expected[f"flight:{batch}"].add(job_id)
        if state in "fc":
            expected[f"retry:{batch}"].add(job_id)

    for name in list(expected):
        kind, batch, lane = (*name.split(":"), "", "")[:3]
        if kind == "waiting" and is_open(kept[f"batch:{batch}"]):
            priority = kept[f"batch:{batch}"]["priority"]
            expected[f"ready:{lane}:{priority}"].add(batch)
            expected[f"levels:{lane}"].add(priority)

    assert {name: set(value) for name, value in kept.items() if name.split(":")[0] in SETS} == dict(expected)
    for name, count in counts.items():
        batch = kept[f"batch:{name}"]
        assert {state: int(batch[state]) for state in STATES} == {state: count[state] for state in STATES}
        assert ("done" in batch) == (not sum(count[state] for state in "qdrx"))
        assert sorted(kept[f"order:{name}"]) == sorted(job_id for job_id, job in jobs.items() if job["b"] == name)
    for name, lane in kept.items():
        if name.startswith("lane:"):
            counters = {field: int(value) for field, value in lane.items() if field.startswith("d")}
            assert min(counters.values(), default=0) >= 0
            assert +Counter(counters) == sent[name.removeprefix("lane:")]


def is_open(batch: dict[str, str]) -> bool:
    """Whether more of a batch may be dispatched: only then is it in the index that pump looks at."""
    in_flight = sum(int(batch[state]) for state in "drx")
    return batch["paused"] == "0" and (batch["cap"] == "0" or in_flight < int(batch["cap"]))


def snapshot(client: redis.Redis, farm: str) -> dict[str, Any]:
    """Return all keys of a farm at one moment, without the prefix: hashes as dicts, sets and lists as lists."""
    return json.loads(client.eval(_SNAPSHOT, 0, f"reelmill:{{{farm}}}:"))


_SNAPSHOT = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
    local kind, value = redis.call('TYPE', key).ok, nil
    if kind == 'hash' then
        local flat = redis.call('HGETALL', key)
        value = {}
        for i = 1, #flat, 2 do value[flat[i]] = flat[i + 1] end
    elseif kind == 'zset' then
        value = redis.call('ZRANGE', key, 0, -1)
    elseif kind == 'set' then
        value = redis.call('SMEMBERS', key)
    elseif kind == 'list' then
        value = redis.call('LRANGE', key, 0, -1)
    end
    found[string.sub(key, #ARGV[1] + 1)] = value
end
return cjson.encode(found)
"""
