"""An audit of the ledger's keys: what the scripts keep as sets and counters must be what the jobs' states say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import redis

from reelmill_common.settings import Settings

STATES = "qhdrxsfc"
SETS = ("waiting", "hold", "sent", "leases", "flight", "retry", "held", "ready", "share", "spots", "levels")


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
            expected[f"waiting:{batch}:{job['l']}" + (f":{job['o']}" if "o" in job else "")].add(job_id)
        if state == "h":
            expected[f"hold:{batch}:{job['l']}"].add(job_id)
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

    expect_indexes(expected, kept)

    assert {name: set(value) for name, value in kept.items() if name.split(":")[0] in SETS} == dict(expected)
    for name, count in counts.items():
        batch = kept[f"batch:{name}"]
        assert {state: int(batch.get(state, 0)) for state in STATES} == {state: count[state] for state in STATES}
        assert ("done" in batch) == (not sum(count[state] for state in "qhdrx"))
        assert sorted(kept[f"order:{name}"]) == sorted(job_id for job_id, job in jobs.items() if job["b"] == name)
    audit_counters(kept, counts, sent)


def expect_indexes(expected: dict[str, set[str]], kept: dict[str, Any]) -> None:
    """Add the indexes that pump looks at to what is expected, from the waiting sets that are."""
    for name in list(expected):
        kind, batch, lane, own = (*name.split(":"), "", "", "")[:4]
        if kind == "waiting" and is_open(kept[f"batch:{batch}"]):
            priority, owner = own or kept[f"batch:{batch}"]["priority"], kept[f"batch:{batch}"]["owner"]
            expected[f"share:{lane}:{priority}:{owner}"].add(batch)
            expected[f"spots:{owner}"].add(f"{lane}:{priority}")
            if has_room(kept.get(f"owner:{owner}", {})):
                expected[f"ready:{lane}:{priority}"].add(owner)
                expected[f"levels:{lane}"].add(priority)


def audit_counters(kept: dict[str, Any], counts: dict[str, Counter[str]], sent: dict[str, Counter[str]]) -> None:
    """Fail on a counter of an owner or a lane that contradicts the states of the jobs."""
    flying: Counter[str] = Counter()
    for name, count in counts.items():
        flying[kept[f"batch:{name}"]["owner"]] += sum(count[state] for state in "drx")
    for name, value in kept.items():
        kind, _, rest = name.partition(":")
        if kind == "owner":
            assert int(value.get("n", 0)) == flying[rest]
        if kind == "lane":
            counters = {field: int(number) for field, number in value.items() if field.startswith("d")}
            assert min(counters.values(), default=0) >= 0
            assert +Counter(counters) == sent[rest]


def is_open(batch: dict[str, str]) -> bool:
    """Whether more of a batch may be dispatched: only then is it in the index that pump looks at."""
    in_flight = sum(int(batch[state]) for state in "drx")
    waits = batch.get("shut") == "1" or batch.get("early") == "1" or batch.get("unmet", "")
    return batch["paused"] == "0" and not waits and (batch["cap"] == "0" or in_flight < int(batch["cap"]))


def has_room(owner: dict[str, str]) -> bool:
    """Whether an owner is below its cap."""
    cap = int(owner.get("cap", 0))
    return not cap or int(owner.get("n", 0)) < cap


def snapshot(client: redis.Redis, farm: str) -> dict[str, Any]:
    """Return all keys of a farm at one time, without the prefix: hashes as dicts, sets and lists as lists."""
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


def sound(settings: Settings) -> None:
    """Assert that what Redis holds of the ledger agrees with itself."""
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        audit(snapshot(client, settings.farm))
