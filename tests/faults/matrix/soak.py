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
from faults.matrix.stand import Host, Stand
from faults.matrix.wires import Mood
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


@dataclass(slots=True, kw_only=True)
class Storm:
    """Random faults, one after the other, in an order that the seed decides; a host that is still
    down from an earlier fault is left alone.
    """

    stand: Stand
    dice: random.Random
    count: Counter[str] = field(default_factory=Counter[str])
    _timers: list[threading.Timer] = field(default_factory=list[threading.Timer])
    _busy: set[str] = field(default_factory=set[str])

    def blow(self) -> None:
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
        if pid := self.stand.child(self._host()):
            os.kill(pid, signal.SIGKILL)

    def kill_parent(self) -> None:
        os.kill(self._host().running.parent_pid, signal.SIGKILL)

    def kill_whole_host(self) -> None:
        host = self._host()
        kill_host(self.stand, host)
        self._later(2.0, host.name, lambda: self.stand.start_again(host))

    def drain(self) -> None:
        host = self._host()
        host.running.terminate()
        host.running.wait()
        self.stand.start_again(host)

    def freeze_child(self) -> None:
        host = self._host()
        if pid := self.stand.child(host):
            os.kill(pid, signal.SIGSTOP)
            self._later(FREEZE_S, host.name, lambda: os.kill(pid, signal.SIGCONT))

    def part(self) -> None:
        host = self._host()
        host.wire.cut()
        host.store_wire.cut()

        def mend() -> None:
            host.wire.mend()
            host.store_wire.mend()

        self._later(FREEZE_S, host.name, mend)

    def kill_redis(self) -> None:
        self.stand.valkey.kill()
        self.stand.valkey = ValkeyServer.start(self.stand.valkey.folder)

    def restart_redis(self) -> None:
        self.stand.valkey.stop()
        self.stand.valkey = ValkeyServer.start(self.stand.valkey.folder)

    def reset(self) -> None:
        for host in self.stand.hosts:
            host.wire.reset()

    def spoil_store(self) -> None:
        self.stand.front.turn(self.dice.choice([mood for mood in Mood if mood is not Mood.FINE]))
        time.sleep(OUTAGE_S)
        self.stand.front.turn(Mood.FINE)

    def end(self) -> None:
        """Let what is still frozen or parted go on."""
        for timer in self._timers:
            timer.join()

    def _host(self) -> Host:
        free = [host for host in self.stand.hosts if host.name not in self._busy]
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


def soak(stand: Stand) -> None:
    """Blow every ten seconds until nothing of the batch remains."""
    storm = Storm(stand=stand, dice=random.Random(SEED))
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_S:
        storm.blow()
        if stand.wait_over(EVERY_S):
            break
    storm.end()
    seconds = time.monotonic() - began
    faults = ", ".join(f"{name} {count}" for name, count in sorted(storm.count.items()))
    stand.strikes.clear()  # blows overlap: whose recovery it would be is not to be told
    stand.remarks.append(f"{sum(storm.count.values())} faults in {seconds / 60:.0f} minutes, seed {SEED}: {faults}")


ROWS = [
    Fault(
        name="soak",
        title="soak: a random fault every 10 s",
        how="four workers; faults of processes, Redis, network and store by seeded dice",
        inject=soak,
        prepare=lambda stand: stand.start(HOSTS),
        clip_s=CLIP_S,
        jobs=JOBS,
    )
]
