"""Faults of processes: killed, frozen, told to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from faults.matrix.fault import HOSTS, Fault
from faults.matrix.testbed import Host, Testbed, processes
from reelmill_common.jobs import DELIVERY_STAGES, RENDER_STAGES

STAGES = (*RENDER_STAGES, *DELIVERY_STAGES)
KILLS = 4
CHILD_S, HOST_S = 10.0, 20.0
"""Seconds to recovery that the project promises for the death of a child, and of a parent or host."""
FROZEN_S = 20.0
"""Longer than the default lease of 15 s."""


def kill_child_at(stage: str, kills: int = KILLS) -> Callable[[Testbed], None]:
    """Return an injection that kills children in one stage: frozen there first, so that it is that stage."""

    def inject(testbed: Testbed) -> None:
        hits = 0
        for number in range(kills):
            host = testbed.hosts[number % len(testbed.hosts)]
            pid = testbed.catch(host, stage)
            if not pid:
                continue
            injection = testbed.record_injection(
                f"child of {host.node} in {stage}", jobs=testbed.in_flight(), back=[host]
            )
            os.kill(pid, signal.SIGKILL)
            hits += 1
            testbed.wait_recovered(injection)
        testbed.remarks.append(f"{hits} kills, each in that stage")

    return inject


def kill_parents(testbed: Testbed) -> None:
    """Kill each host's Celery parent once; its child dies with it and the supervisor starts another."""
    for host in testbed.hosts:
        injection = testbed.record_injection(f"parent of {host.node}", jobs=testbed.in_flight(), back=[host])
        os.kill(host.running.parent_pid, signal.SIGKILL)
        testbed.wait_recovered(injection)


def kill_host(testbed: Testbed, host: Host) -> None:
    """Kill all of a host's processes in one go."""
    victims = processes(host.running)
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)  # none of them may see another die
    testbed.record_injection(f"host {host.node}", jobs=testbed.in_flight())
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    host.running.process.wait()


def kill_hosts(testbed: Testbed) -> None:
    """Kill two of four hosts, five seconds apart; their services start them again when their jobs are recovered."""
    for host in testbed.hosts[:2]:
        kill_host(testbed, host)
        time.sleep(5)
    for injection in list(testbed.injections):
        testbed.wait_recovered(injection)
    for host in testbed.hosts[:2]:
        testbed.start_again(host)


def freeze(who: str) -> Callable[[Testbed], None]:
    """Return an injection that stops one host's child or parent for longer than its lease, then lets it go on."""

    def inject(testbed: Testbed) -> None:
        host = testbed.hosts[0]
        pid = testbed.catch(host, "denoise 2/3") if who == "child" else host.running.parent_pid
        if who == "parent":
            os.kill(pid, signal.SIGSTOP)
        injection = testbed.record_injection(f"{who} of {host.node}", jobs=testbed.in_flight())
        time.sleep(FROZEN_S)
        os.kill(pid, signal.SIGCONT)
        woken = testbed.record_injection(f"{who} of {host.node} wakes", jobs=frozenset(), back=[host])
        testbed.wait_recovered(injection)
        testbed.wait_recovered(woken)

    return inject


def drain(testbed: Testbed) -> None:
    """Stop two hosts in order, one after the other, and start them again."""
    for host in testbed.hosts[:2]:
        testbed.record_injection(f"SIGTERM to {host.node}", jobs=testbed.in_flight())
        host.running.terminate()
        status = host.running.wait()
        testbed.remarks.append(f"exit status {status}")
        testbed.start_again(host)
        time.sleep(3)


ROWS = [
    *(
        Fault(
            name=f"child-{stage.replace('_', '-').replace(' ', '-').replace('/3', '')}",
            title=f"child killed in `{stage}`",
            how="SIGKILL, frozen first at that stage",
            inject=kill_child_at(stage),
            recovery_s=CHILD_S,
        )
        for stage in STAGES
    ),
    Fault(
        name="child-model",
        title="child with the tiny model killed in `denoise 2/3`",
        how="SIGKILL, frozen first at that stage",
        inject=kill_child_at("denoise 2/3", 2),
        prepare=lambda testbed: testbed.start(2),
        model=True,
        recovery_s=CHILD_S,
    ),
    Fault(
        name="parent",
        title="parent killed",
        how="SIGKILL to the Celery parent of each host in turn",
        inject=kill_parents,
        recovery_s=HOST_S,
    ),
    Fault(
        name="host",
        title="host dies",
        how="SIGKILL to supervisor, parent and child at once, two of four hosts",
        inject=kill_hosts,
        prepare=lambda testbed: testbed.start(HOSTS + 1),
        recovery_s=HOST_S,
    ),
    Fault(
        name="frozen-child",
        title="child frozen past its lease",
        how=f"SIGSTOP in `denoise 2/3`, SIGCONT after {FROZEN_S:.0f} s",
        inject=freeze("child"),
        recovery_s=HOST_S,
    ),
    Fault(
        name="frozen-parent",
        title="parent frozen past the lease",
        how=f"SIGSTOP, SIGCONT after {FROZEN_S:.0f} s",
        inject=freeze("parent"),
        recovery_s=HOST_S,
    ),
    Fault(
        name="drain",
        title="worker told to stop",
        how="SIGTERM to the supervisor of two hosts in turn, started again",
        inject=drain,
        once=True,
    ),
]
