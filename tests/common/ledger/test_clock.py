"""The server's clock is set back or ahead: leases, messages and workers last as long as they would have."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.ledger_steps import LANE, WORKER, begin, claim, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, Orders, WorkerState, dispatch
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

HOUR = 3600
CLOCK = Path(__file__).parents[2] / "faults" / "matrix" / "clock.c"


@pytest.fixture
def set_clock(
    own_valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], None]]:
    """Return what stops the server in order and starts it with a clock that is off by so many seconds."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler, which makes the library that shifts the server's clock")
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(CLOCK)], check=True)
    servers = [own_valkey]

    def set_to(seconds: int) -> None:
        servers[-1].stop()
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", str(library))
            patch.setenv("CLOCK_OFF_S", str(seconds))
            servers.append(ValkeyServer.start(own_valkey.folder, port=own_valkey.port))

    yield set_to
    servers[-1].stop()


@pytest.fixture
def own(settings: Settings, own_valkey: ValkeyServer) -> Iterator[Ledger]:
    """A ledger on a server of the test's own."""
    with Ledger.connect(Settings(redis_url=own_valkey.url, farm=settings.farm)) as ledger:
        yield ledger


def test_a_dead_workers_lease_ends_though_the_clock_was_set_back_an_hour(
    own: Ledger, set_clock: Callable[[int], None]
) -> None:
    start_worker(own)
    (job,) = submit(own, "night", 1)
    begin(own, lease_s=3)
    own.dispatch.reap()

    set_clock(-HOUR)

    wait_for(
        lambda: own.dispatch.reap() or own.jobs.get(job).state is JobState.QUEUED, timeout_s=20, what="the lease's end"
    )
    steps = [event.fields["seconds"] for event in own.events.read(after="0") if event.name == "ledger.clock_moved"]
    assert len(steps) == 1
    assert -HOUR - 2 <= int(steps[0]) <= -HOUR + 30


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_a_live_holder_keeps_its_lease_whichever_way_the_clock_is_set(
    own: Ledger, set_clock: Callable[[int], None], seconds: int
) -> None:
    start_worker(own)
    submit(own, "night", 1)
    claimed = begin(own, lease_s=60)
    own.dispatch.reap()

    set_clock(seconds)
    own.dispatch.reap()

    assert own.attempts.renew(claimed.job_id, claimed.token, lease_s=60) is Orders.CONTINUE
    assert own.jobs.get(claimed.job_id).state is JobState.RUNNING
    assert own.dispatch.reap() == 0


def test_a_holder_keeps_its_lease_that_it_could_not_renew_while_the_server_was_away(
    own: Ledger, set_clock: Callable[[int], None]
) -> None:
    """Away for longer than the lease, and for less than the minute after which any pause counts as a moved clock."""
    start_worker(own)
    submit(own, "night", 1)
    claimed = begin(own, lease_s=15)
    own.dispatch.reap()

    set_clock(30)

    assert own.dispatch.reap() == 0
    assert own.attempts.renew(claimed.job_id, claimed.token, lease_s=15) is Orders.CONTINUE
    (worker,) = own.workers.all()
    assert worker.seen_s >= 0  # nobody has beaten later than now


def test_dead_workers_and_lost_messages_are_noticed_after_the_clock_was_set_back(
    own: Ledger, set_clock: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "VANISHED_S", 2.0)
    start_worker(own)
    (job,) = submit(own, "night", 1)
    own.dispatch.pump(LANE)
    own.dispatch.reap()

    set_clock(-HOUR)

    wait_for(
        lambda: own.dispatch.reap() or own.jobs.get(job).state is JobState.QUEUED,
        timeout_s=20,
        what="the message is missed",
    )
    wait_for(
        lambda: own.dispatch.reap() or own.workers.all()[0].state is WorkerState.DEAD,
        timeout_s=30,
        what="the worker is lost",
    )
    own.workers.beat(WORKER)
    (item,) = own.dispatch.pump(LANE)
    assert claim(own, item).attempt == 1
