"""What a Redis server says of itself, and what that means for a farm."""

from __future__ import annotations

import dataclasses

import pytest
import redis

from reelmill_common.settings import Settings
from reelmill_producer.doctor.checks import Finding, Severity, examine, worst
from reelmill_producer.doctor.redis import RedisFacts, judge_redis
from reelmill_producer.embedded.valkey import ValkeyServer

HEALTHY = RedisFacts(
    server="Valkey 9.1.2",
    aof=True,
    aof_error=False,
    maxmemory_bytes=0,
    used_bytes=1_000_000,
    policy="noeviction",
    round_trip_ms=0.2,
    clock_s=0.0,
)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_redis_that_may_lose_jobs_is_found_out(settings: Settings, own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory", "500mb")
        client.config_set("maxmemory-policy", "allkeys-lru")

    found = by_name(examine(dataclasses.replace(settings, redis_url=own_valkey.url)))

    assert found["redis.aof"].level is Severity.WARN
    assert found["redis.aof"].advice == "set appendonly yes and appendfsync everysec"
    assert found["redis.eviction"].level is Severity.FAIL
    assert "allkeys-lru" in found["redis.eviction"].found
    assert "of maxmemory" in found["redis.memory"].found


@pytest.mark.parametrize(
    ("fact", "name", "level", "texts"),
    [
        pytest.param({"aof_error": True}, "redis.aof", Severity.FAIL, "free space", id="disk of Redis full"),
        pytest.param({"confirms": False}, "redis.aof", Severity.WARN, "7.2", id="a disk that nobody can ask about"),
        pytest.param({"policy": "volatile-lru"}, "redis.eviction", Severity.WARN, "noeviction", id="no limit yet"),
        pytest.param(
            {"maxmemory_bytes": 1_200_000}, "redis.memory", Severity.WARN, "raise maxmemory", id="nearly full"
        ),
        pytest.param({"maxmemory_bytes": 9_000_000}, "redis.memory", Severity.OK, "", id="room left"),
        pytest.param({"maxclients": 100, "connected": 20}, "redis.connections", Severity.OK, "", id="free connections"),
        pytest.param({"maxclients": 100, "connected": 90}, "redis.connections", Severity.WARN, "raise", id="few free"),
        pytest.param({"maxclients": 100, "workers": 12}, "redis.connections", Severity.WARN, "raise", id="few for all"),
        pytest.param({"round_trip_ms": 80.0}, "redis.round_trip", Severity.WARN, "near the workers", id="far away"),
        pytest.param({"clock_s": -1.9}, "clock", Severity.OK, "", id="clocks agree"),
        pytest.param({"clock_s": -30.0}, "clock", Severity.WARN, "NTP", id="clocks apart"),
        pytest.param({"clock_s": 3600.0}, "clock", Severity.FAIL, "NTP", id="clock an hour off"),
    ],
)
def test_what_redis_tells_is_judged(fact: dict[str, object], name: str, level: Severity, texts: str) -> None:
    found = by_name(judge_redis(dataclasses.replace(HEALTHY, **fact)))

    assert found[name].level is level
    assert texts in found[name].advice
    assert worst(found.values()) is level


def test_a_wrong_password_is_told(settings: Settings) -> None:
    wrong = settings.redis_url.replace("://:", "://:x")

    found = by_name(examine(dataclasses.replace(settings, redis_url=wrong)))

    assert found["redis"].level is Severity.FAIL
    assert "refuses the password" in found["redis"].found + found["redis"].advice
