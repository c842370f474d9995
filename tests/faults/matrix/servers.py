"""Faults of what the workers testbed on: Redis, the network, the store, the disk, the clock."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from faults.matrix.fault import HOSTS, Fault, NotHere
from faults.matrix.proxies import Behaviour
from faults.matrix.testbed import Testbed
from fixtures.disk import small_disk
from reelmill_producer.embedded.valkey import ValkeyServer

REDIS_S = 10.0
"""Seconds to recovery that the project promises for a restart of Redis."""
RESTARTS = 3
RESETS = 5
PARTITION_S = 30.0
OUTAGE_S = 10.0
LONG_OUTAGE_S = 60.0
SPOOL_MB = 1
HOUR_S = 3600


def restart_redis(*, kill: bool) -> Callable[[Testbed], None]:
    """Return an injection that restarts the server a few times, on the same data and port."""

    def inject(testbed: Testbed) -> None:
        down: list[float] = []
        for _ in range(RESTARTS):
            injection = testbed.record_injection("Redis", jobs=testbed.in_flight(), back=testbed.hosts)
            if kill:
                testbed.valkey.kill()
            else:
                testbed.valkey.stop()
            testbed.valkey = ValkeyServer.start(testbed.valkey.folder)
            down.append(time.time() - injection.at_s)
            testbed.wait_recovered(injection)
        testbed.remarks.append(f"{RESTARTS} restarts, {max(down):.1f} s without a server at most")

    return inject


def reset_connections(testbed: Testbed) -> None:
    """Reset every connection to Redis a few times."""
    cuts = 0
    for _ in range(RESETS):
        injection = testbed.record_injection("all connections", jobs=testbed.in_flight(), back=testbed.hosts)
        cuts += sum(host.redis_proxy.reset() for host in testbed.hosts)
        testbed.wait_recovered(injection)
    testbed.remarks.append(f"{cuts} connections reset in {RESETS} rounds")


def part(testbed: Testbed) -> None:
    """Part one host from Redis and store."""
    host = testbed.hosts[0]
    testbed.record_injection(f"{host.node} alone", jobs=testbed.in_flight())
    host.redis_proxy.cut()
    host.store_proxy.cut()
    time.sleep(PARTITION_S)
    host.redis_proxy.mend()
    host.store_proxy.mend()
    healed = testbed.record_injection(f"{host.node} among us again", jobs=frozenset(), back=[host])
    for injection in (testbed.injections[-2], healed):
        testbed.wait_recovered(injection)


def spoil_store(behaviour: Behaviour, outage_s: float = OUTAGE_S, *, rounds: int = 2) -> Callable[[Testbed], None]:
    """Return an injection of outages of the store; recovery counts from an outage's end."""

    def inject(testbed: Testbed) -> None:
        for _ in range(rounds):
            testbed.store.behave(behaviour)
            time.sleep(outage_s)
            testbed.store.behave(Behaviour.FINE)
            testbed.wait_recovered(
                testbed.record_injection(f"store {behaviour}", jobs=testbed.in_flight(), back=testbed.hosts)
            )
            time.sleep(3)
        spoilt = (
            f", {testbed.store.spoilt} requests spoilt" if testbed.store.spoilt else ""
        )  # refused ones are not counted
        testbed.remarks.append(f"{rounds} x {outage_s:.0f} s without a store{spoilt}")

    return inject


def start_with_small_disk(testbed: Testbed) -> None:
    """Give the first host a spool of one megabyte."""
    try:
        testbed.mounts.enter_context(small_disk(testbed.farm.folder / "a" / "spool", size_mb=SPOOL_MB))
    except PermissionError as err:
        raise NotHere(str(err)) from err
    testbed.start(HOSTS)


def fill_disk(testbed: Testbed) -> None:
    """Fill the spool's disk for ten seconds, as a neighbour's log would."""
    host = testbed.hosts[0]
    ballast = testbed.farm.folder / "a" / "spool" / "ballast"
    with ballast.open("wb", buffering=0) as handle:
        try:
            while handle.write(b"\0" * 4096):
                pass
        except OSError:
            testbed.remarks.append(f"full after {handle.tell()} bytes for {OUTAGE_S:.0f} s")
    time.sleep(OUTAGE_S)
    jobs = testbed.held(host)
    ballast.unlink()
    testbed.wait_recovered(testbed.record_injection(f"disk of {host.node}", jobs=jobs, back=[host]), 30)


def wrong_clock(folder: Path) -> Path:
    """Compile the library that gives a process a wrong time of day."""
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    if (compiler := shutil.which("cc")) is None:
        raise NotHere("there is no C compiler: apt-get install gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


def start_with_clock_off(seconds: int, *, in_folder: bool) -> Callable[[Testbed], None]:
    """Return a start-up in which one of three hosts has its clock off by some seconds.

    An S3 server refuses signatures of another hour, so that only in a folder the wrong clock gets to work.
    """

    def prepare(testbed: Testbed) -> None:
        library = wrong_clock(testbed.farm.folder)
        if in_folder:
            folder = testbed.farm.folder / "clips"
            testbed.farm.settings = replace(testbed.farm.settings, store_url=f"file://{folder}")
        testbed.start(HOSTS - 1)
        env = {"LD_PRELOAD": str(library), "CLOCK_OFF_S": str(seconds)}
        testbed.add_host(ready=in_folder, env=env)

    return prepare


def watch_clock(testbed: Testbed) -> None:
    """Say what became of the worker with the wrong clock; the clock itself is the fault."""
    testbed.wait_over(60)
    host = testbed.hosts[-1]
    drawn = len(host.running.events("card.drawn"))
    refusals = host.running.events("gate.refused")
    testbed.remarks.append(f"its worker drew {drawn} of the clips" + (f"; {refusals[0]['error']}" if refusals else ""))


ROWS = [
    Fault(
        name="redis-restart",
        title="Redis restarted",
        how="SIGTERM, started again on its data",
        inject=restart_redis(kill=False),
        recovery_s=REDIS_S,
    ),
    Fault(
        name="redis-killed",
        title="Redis killed",
        how="SIGKILL, started again on its data",
        inject=restart_redis(kill=True),
        recovery_s=REDIS_S,
    ),
    Fault(
        name="redis-killed-model",
        title="Redis killed while the tiny model renders",
        how="SIGKILL, started again on its data",
        inject=restart_redis(kill=True),
        prepare=lambda testbed: testbed.start(2),
        model=True,
        recovery_s=REDIS_S,
    ),
    Fault(
        name="tcp-reset",
        title="all connections to Redis reset",
        how="RST from a proxy before Redis, all hosts at once",
        inject=reset_connections,
        recovery_s=20.0,
    ),
    Fault(
        name="partition",
        title="one host parted from the rest",
        how=f"its proxies to Redis and store hold all bytes back for {PARTITION_S:.0f} s",
        inject=part,
        recovery_s=20.0,
    ),
    Fault(
        name="store-500",
        title="store answers 500",
        how="proxy before the store",
        inject=spoil_store(Behaviour.ERROR_500),
        once=True,
    ),
    Fault(
        name="store-silent",
        title="store does not answer",
        how="proxy before the store takes requests and never answers them",
        inject=spoil_store(Behaviour.SILENT),
        once=True,
    ),
    Fault(
        name="store-refusing",
        title="store refuses connections",
        how="proxy before the store closes its port",
        inject=spoil_store(Behaviour.REFUSING),
        once=True,
    ),
    Fault(
        name="store-down",
        title="store is down for a minute",
        how="proxy before the store closes its port",
        inject=spoil_store(Behaviour.REFUSING, LONG_OUTAGE_S, rounds=1),
        once=True,
    ),
    Fault(
        name="store-losing",
        title="store takes a put and loses its reply",
        how="proxy before the store cuts the connection after the put was stored",
        inject=spoil_store(Behaviour.LOSING),
        once=True,
    ),
    Fault(
        name="disk-full",
        title="disk of one host full",
        how=f"its spool is a tmpfs of {SPOOL_MB} MB, filled to the last byte",
        inject=fill_disk,
        prepare=start_with_small_disk,
    ),
    *(
        Fault(
            name=f"clock-{word}" + ("-folder" if in_folder else ""),
            title=f"clock of one worker {seconds // HOUR_S:+d} h, " + ("clips in a folder" if in_folder else "S3"),
            how="one of three workers gets a wrong time of day (LD_PRELOAD, `clock.c`)",
            inject=watch_clock,
            prepare=start_with_clock_off(seconds, in_folder=in_folder),
            once=True,
        )
        for word, seconds in (("ahead", HOUR_S), ("behind", -HOUR_S))
        for in_folder in (False, True)
    ),
]
