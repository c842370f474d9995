"""Faults of processes: killed, frozen, told to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from faults.matrix.fault import HOSTS, Fault
from faults.matrix.stand import Host, Stand, processes
from reelmill_common.jobs import DELIVERY_STAGES, RENDER_STAGES

STAGES = (*RENDER_STAGES, *DELIVERY_STAGES)
KILLS = 4
CHILD_S, HOST_S = 10.0, 20.0
"""Seconds to recovery that the project promises for the death of a child, and of a parent or host."""
FROZEN_S = 20.0
"""Longer than the default lease of 15 s."""


def kill_child_at(stage: str, kills: int = KILLS) -> Callable[[Stand], None]:
    """Return an injection that kills children in one stage: frozen there first, so that it is that stage."""

    def inject(stand: Stand) -> None:
        hits = 0
        for number in range(kills):
            host = stand.hosts[number % len(stand.hosts)]
            pid = stand.catch(host, stage)
            if not pid:
                continue
            strike = stand.strike(f"child of {host.node} in {stage}", jobs=stand.in_flight(), back=[host])
            os.kill(pid, signal.SIGKILL)
            hits += 1
            stand.wait_recovered(strike)
        stand.remarks.append(f"{hits} kills, each in that stage")

    return inject


def kill_parents(stand: Stand) -> None:
    """Kill each host's Celery parent once; its child dies with it and the supervisor starts another."""
    for host in stand.hosts:
        strike = stand.strike(f"parent of {host.node}", jobs=stand.in_flight(), back=[host])
        os.kill(host.running.parent_pid, signal.SIGKILL)
        stand.wait_recovered(strike)


def kill_host(stand: Stand, host: Host) -> None:
    """Kill all of a host's processes in one go."""
    victims = processes(host.running)
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)  # none of them may see another die
    stand.strike(f"host {host.node}", jobs=stand.in_flight())
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    host.running.process.wait()


def kill_hosts(stand: Stand) -> None:
    """Kill two of four hosts, five seconds apart; their services start them again when their jobs are recovered."""
    for host in stand.hosts[:2]:
        kill_host(stand, host)
        time.sleep(5)
    for strike in list(stand.strikes):
        stand.wait_recovered(strike)
    for host in stand.hosts[:2]:
        stand.start_again(host)


def freeze(who: str) -> Callable[[Stand], None]:
    """Return an injection that stops one host's child or parent for longer than its lease, then lets it go on."""

    def inject(stand: Stand) -> None:
        host = stand.hosts[0]
        pid = stand.catch(host, "denoise 2/3") if who == "child" else host.running.parent_pid
        if who == "parent":
            os.kill(pid, signal.SIGSTOP)
        strike = stand.strike(f"{who} of {host.node}", jobs=stand.in_flight())
        time.sleep(FROZEN_S)
        os.kill(pid, signal.SIGCONT)
        woken = stand.strike(f"{who} of {host.node} wakes", jobs=frozenset(), back=[host])
        stand.wait_recovered(strike)
        stand.wait_recovered(woken)

    return inject


def drain(stand: Stand) -> None:
    """Stop two hosts in order, one after the other, and start them again."""
    for host in stand.hosts[:2]:
        stand.strike(f"SIGTERM to {host.node}", jobs=stand.in_flight())
        host.running.terminate()
        status = host.running.wait()
        stand.remarks.append(f"exit status {status}")
        stand.start_again(host)
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
        prepare=lambda stand: stand.start(2),
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
        prepare=lambda stand: stand.start(HOSTS + 1),
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
