"""Faults of a Redis with a replica: another server takes over, and may lack what the first one answered last."""

from __future__ import annotations

import time

from faults.matrix.fault import Fault
from faults.matrix.testbed import BATCH, Injection, Testbed
from fixtures.farm import specs
from fixtures.replicas import Member, Replicated
from reelmill_common.access import Role
from reelmill_common.archive import archive
from reelmill_common.jobs import JobState
from reelmill_common.services.record_copy import restore
from reelmill_common.services.record_keeper import RecordKeeper

FAIL_OVERS = 3
TAKES_OVER_S = 20.0
"""Seconds to recovery that the project promises, from when the new primary is there."""
BEHIND_S = 2.0
SENTINELS = 3


def servers(testbed: Testbed) -> Replicated:
    """Return the servers of a row that has a replica."""
    assert testbed.pair is not None
    return testbed.pair


def promoted(testbed: Testbed, before: Member, in_flight: frozenset[str]) -> Injection:
    """Wait for the new primary; recovery counts from then."""
    servers(testbed).wait_promoted(before)
    return testbed.record_injection("another primary", jobs=in_flight, back=testbed.hosts)


def kill_primary(testbed: Testbed) -> None:
    """Kill the primary a few times; the Sentinels notice, and what was killed comes back as a replica."""
    pair, took = servers(testbed), list[float]()
    for _ in range(FAIL_OVERS):
        before, jobs, at = pair.primary, testbed.in_flight(), time.monotonic()
        before.kill()
        injection = promoted(testbed, before, jobs)
        took.append(time.monotonic() - at)
        testbed.wait_recovered(injection)
        before.start(follows=pair.primary.port)
        pair.wait_in_step()
    testbed.remarks.append(f"{FAIL_OVERS} fail-overs, {max(took):.1f} s until another was the primary at most")


def fail_over_by_hand(testbed: Testbed) -> None:
    """Ask a Sentinel to change the roles, as before maintenance; no server is down at any time."""
    pair = servers(testbed)
    for _ in range(FAIL_OVERS):
        before, jobs = pair.primary, testbed.in_flight()
        pair.fail_over()
        testbed.wait_recovered(promoted(testbed, before, jobs))
        pair.wait_in_step()
    testbed.remarks.append(f"{FAIL_OVERS} times SENTINEL FAILOVER farm COORDINATED")


def succeeded(testbed: Testbed) -> int:
    """Return how many jobs have ended well by the word of the ledger."""
    return testbed.farm.ledger.batches.get(BATCH).counts[JobState.SUCCEEDED]


def promote_late_replica(testbed: Testbed) -> None:
    """Freeze the replica, kill the primary two seconds later, and let the replica go on: it lacks those seconds."""
    pair, forgotten = servers(testbed), 0
    for _ in range(2):
        before, late = pair.primary, pair.replica
        late.freeze()
        done = succeeded(testbed)
        time.sleep(BEHIND_S)
        forgotten += succeeded(testbed) - done
        jobs = testbed.in_flight()
        before.kill()
        late.thaw()
        testbed.wait_recovered(promoted(testbed, before, jobs))
        before.start(follows=late.port)
        pair.wait_in_step()
    testbed.remarks.append(
        f"2 fail-overs to a replica {BEHIND_S:.0f} s behind, which did not know of {forgotten} clips"
    )


def move_endpoint(testbed: Testbed) -> None:
    """Change the roles by command, and lead new connections to the new primary; none that is open is closed."""
    pair = servers(testbed)
    for _ in range(FAIL_OVERS):
        old, new, jobs = pair.primary, pair.replica, testbed.in_flight()
        for host in testbed.hosts:
            host.redis_proxy.target = new.port
        new.follow(0)
        old.follow(new.port)
        testbed.wait_recovered(testbed.record_injection("the endpoint", jobs=jobs, back=testbed.hosts))
        pair.wait_in_step()
    testbed.remarks.append(f"{FAIL_OVERS} moves, no connection closed by a server")


def flush_functions(testbed: Testbed) -> None:
    """Take the function library away a few times."""
    for _ in range(5):
        injection = testbed.record_injection("functions", jobs=testbed.in_flight(), back=testbed.hosts)
        with servers(testbed).primary.client() as client:
            client.function_flush()
        testbed.wait_recovered(injection)
    testbed.remarks.append("5 times FUNCTION FLUSH")


def flush_all(testbed: Testbed) -> None:
    """Do what an operator did by mistake, then what the runbook says: restore, and submit the file again."""
    farm, rows = testbed.farm, specs(len(testbed.jobs))
    token = farm.ledger.tokens.make("ann", Role.SUBMITTER, "ann")
    farm.submit("evening", specs(3))
    farm.wait_done("evening")
    archive(farm.ledger, farm.store, "evening")
    RecordKeeper(settings=farm.settings).round(farm.ledger, farm.store)
    with servers(testbed).primary.client() as client:
        client.flushall()
    found = restore(farm.ledger, farm.store, farm.settings.farm)
    farm.submit(BATCH, rows)
    testbed.record_injection("all of Redis", jobs=frozenset(), back=testbed.hosts)
    known = farm.ledger.tokens.principal(token) is not None
    testbed.remarks.append(
        f"back: {len(found.batches)} batch of 3 jobs, {found.tokens} token (it lets in: {'yes' if known else 'no'}); "
        f"said to be lost: {', '.join(batch.name for batch in found.lost)}"
    )


ROWS = [
    Fault(
        name="primary-killed",
        title="primary killed under Sentinel",
        how="SIGKILL, three Sentinels promote the replica after 1 s",
        inject=kill_primary,
        forgets=True,
        recovery_s=TAKES_OVER_S,
        sentinels=SENTINELS,
    ),
    Fault(
        name="failover-by-hand",
        title="role change by hand",
        how="`SENTINEL FAILOVER farm COORDINATED`, the servers stay up",
        inject=fail_over_by_hand,
        forgets=True,
        recovery_s=TAKES_OVER_S,
        sentinels=SENTINELS,
    ),
    Fault(
        name="replica-behind",
        title=f"primary killed, its replica {BEHIND_S:.0f} s behind",
        how="SIGSTOP to the replica, SIGKILL to the primary, SIGCONT; the Sentinels promote it",
        inject=promote_late_replica,
        forgets=True,
        recovery_s=TAKES_OVER_S,
        sentinels=SENTINELS,
    ),
    Fault(
        name="endpoint-moved",
        title="endpoint moved, old connections left open",
        how="`REPLICAOF` to both servers; the proxy before each host leads new connections to the new primary",
        inject=move_endpoint,
        forgets=True,
        recovery_s=TAKES_OVER_S,
        replicated=True,
    ),
    Fault(
        name="functions-flushed",
        title="functions flushed",
        how="`FUNCTION FLUSH` on the primary",
        inject=flush_functions,
        recovery_s=TAKES_OVER_S,
        replicated=True,
    ),
    Fault(
        name="flushall",
        title="`FLUSHALL` by an operator",
        how="`FLUSHALL` on the primary, then `restore` and the file submitted again",
        inject=flush_all,
        forgets=True,
        replicated=True,
    ),
]
