"""The soak: many jobs, four workers, and a random fault every ten seconds until all is stored."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from faults.matrix.fault import Fault
from faults.matrix.processes import kill_host
from faults.matrix.proxies import Behaviour
from faults.matrix.testbed import Host, Testbed
from reelmill_producer.embedded.valkey import ValkeyServer

JOBS = 20_000
HOSTS = 4
CLIP_S = 0.1
EVERY_S = 10.0
SEED = 20_261_124
OUTAGE_S = 4.0
FREEZE_S = 18.0
"""Longer than the default lease of 15 s."""
LONGEST_S = 3600.0
FAIL_OVER_S = 120.0


@dataclass(slots=True, kw_only=True)
class Storm:
    """Random faults, one after the other, in an order that the seed decides; a host that is still
    down from an earlier fault is left alone.
    """

    testbed: Testbed
    dice: random.Random
    count: Counter[str] = field(default_factory=Counter[str])
    _timers: list[threading.Timer] = field(default_factory=list[threading.Timer])
    _busy: set[str] = field(default_factory=set[str])

    def inject_next(self) -> None:
        """Do one of all faults."""
        fault = self.dice.choice(
            [
                self.kill_child,
                self.kill_parent,
                self.kill_whole_host,
                self.drain,
                self.freeze_child,
                self.part,
                self.kill_redis,
                self.restart_redis,
                self.reset,
                self.spoil_store,
            ]
        )
        self.count[fault.__name__] += 1
        with suppress(ProcessLookupError):  # what was to be hit is down already
            fault()

    def kill_child(self) -> None:
        if pid := self.testbed.child(self._host()):
            os.kill(pid, signal.SIGKILL)

    def kill_parent(self) -> None:
        os.kill(self._host().running.parent_pid, signal.SIGKILL)

    def kill_whole_host(self) -> None:
        host = self._host()
        kill_host(self.testbed, host)
        self._later(2.0, host.name, lambda: self.testbed.start_again(host))

    def drain(self) -> None:
        host = self._host()
        host.running.terminate()
        host.running.wait()
        self.testbed.start_again(host)

    def freeze_child(self) -> None:
        host = self._host()
        if pid := self.testbed.child(host):
            os.kill(pid, signal.SIGSTOP)
            self._later(FREEZE_S, host.name, lambda: os.kill(pid, signal.SIGCONT))

    def part(self) -> None:
        host = self._host()
        host.redis_proxy.cut()
        host.store_proxy.cut()

        def mend() -> None:
            host.redis_proxy.mend()
            host.store_proxy.mend()

        self._later(FREEZE_S, host.name, mend)

    def kill_redis(self) -> None:
        self.testbed.valkey.kill()
        self.testbed.valkey = ValkeyServer.start(self.testbed.valkey.folder)

    def restart_redis(self) -> None:
        self.testbed.valkey.stop()
        self.testbed.valkey = ValkeyServer.start(self.testbed.valkey.folder)

    def reset(self) -> None:
        for host in self.testbed.hosts:
            host.redis_proxy.reset()

    def spoil_store(self) -> None:
        self.testbed.store.behave(
            self.dice.choice([behaviour for behaviour in Behaviour if behaviour is not Behaviour.FINE])
        )
        time.sleep(OUTAGE_S)
        self.testbed.store.behave(Behaviour.FINE)

    def end(self) -> None:
        """Let what is still frozen or parted go on."""
        for timer in self._timers:
            timer.join()

    def _host(self) -> Host:
        free = [host for host in self.testbed.hosts if host.name not in self._busy]
        return self.dice.choice(free)

    def _later(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        def do() -> None:
            with suppress(ProcessLookupError):
                work()
            self._busy.discard(name)

        self._busy.add(name)
        timer = threading.Timer(seconds, do)
        self._timers.append(timer)
        timer.start()


def soak(testbed: Testbed) -> None:
    """Blow every ten seconds until nothing of the batch remains."""
    storm = Storm(testbed=testbed, dice=random.Random(SEED))
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_S:
        storm.inject_next()
        if testbed.wait_over(EVERY_S):
            break
    storm.end()
    seconds = time.monotonic() - began
    faults = ", ".join(f"{name} {count}" for name, count in sorted(storm.count.items()))
    testbed.injections.clear()  # injections overlap: whose recovery it would be is not to be told
    testbed.remarks.append(f"{sum(storm.count.values())} faults in {seconds / 60:.0f} minutes, seed {SEED}: {faults}")


def soak_under_sentinel(testbed: Testbed) -> None:
    """Kill the primary every two minutes until nothing of the batch remains; it comes back as a replica."""
    pair, count, began = testbed.pair, 0, time.monotonic()
    assert pair is not None
    while time.monotonic() - began < LONGEST_S and not testbed.wait_over(FAIL_OVER_S):
        before = pair.primary
        before.kill()
        pair.wait_promoted(before)
        before.start(follows=pair.primary.port)
        pair.wait_in_step()
        count += 1
    testbed.remarks.append(f"{count} fail-overs in {(time.monotonic() - began) / 60:.0f} minutes")


ROWS = [
    Fault(
        name="soak-sentinel",
        title="soak under Sentinel: a fail-over every two minutes",
        how="four workers; SIGKILL to the primary, three Sentinels promote its replica",
        inject=soak_under_sentinel,
        prepare=lambda testbed: testbed.start(HOSTS),
        clip_s=CLIP_S,
        forgets=True,
        sentinels=3,
        jobs=JOBS,
    ),
    Fault(
        name="soak",
        title="soak: a random fault every 10 s",
        how="four workers; faults of processes, Redis, network and store by seeded dice",
        inject=soak,
        prepare=lambda testbed: testbed.start(HOSTS),
        clip_s=CLIP_S,
        jobs=JOBS,
    ),
]
