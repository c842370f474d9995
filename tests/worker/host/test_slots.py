"""Worker slots: names that are unique on this host and on the farm, and CPUs near the GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.ledger import Ledger, WorkerInfo, WorkerState
from reelmill_common.settings import Settings
from reelmill_worker.host import slots
from reelmill_worker.host.gpus import Gpu
from reelmill_worker.host.slots import SlotClaims, Taker, WorkerSlot, machine_of, taker


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.connect(settings) as ledger:
        yield ledger


def gpu(number: int) -> Gpu:
    return Gpu(device=f"GPU-{number}", label=str(number), place=number)


def claim(
    folder: Path, stack: ExitStack, gpus: Sequence[Gpu] = (), *, take: Taker = lambda _node: True
) -> list[WorkerSlot]:
    claims = SlotClaims(state_dir=folder, host="mill", machine="1a2b3c4d", take=take, stack=stack)
    return claims.claim(gpus)


def test_cpu_workers_of_one_host_get_different_names(tmp_path: Path) -> None:
    with ExitStack() as stack:
        names = [claim(tmp_path, stack)[0].node for _ in range(3)]

        assert names == ["cpu0@mill", "cpu1@mill", "cpu2@mill"]


def test_a_name_is_free_again_when_its_command_has_ended(tmp_path: Path) -> None:
    with ExitStack() as stack:
        claim(tmp_path, stack, [gpu(0)])

    with ExitStack() as stack:
        found = claim(tmp_path, stack, [gpu(0), gpu(1)])

        assert [(slot.device, slot.node) for slot in found] == [("GPU-0", "gpu0@mill"), ("GPU-1", "gpu1@mill")]


def test_a_gpu_is_not_served_twice(tmp_path: Path) -> None:
    with ExitStack() as stack:
        claim(tmp_path, stack, [gpu(0)])

        with pytest.raises(InvalidSettings, match=r"gpu0@mill runs on this host already; stop it"):
            claim(tmp_path, stack, [gpu(0)])


def test_a_name_that_another_machine_has_gets_a_suffix(tmp_path: Path, ledger: Ledger, settings: Settings) -> None:
    ledger.workers.register("gpu0@mill", "tiny", WorkerInfo(pid=1, machine="ffffffff"))

    with ExitStack() as stack:
        found = claim(tmp_path, stack, [gpu(0), gpu(1)], take=taker(settings, "1a2b3c4d"))

    assert [slot.node for slot in found] == ["gpu0@mill-1a2b3c4d", "gpu1@mill-1a2b3c4d"]


def test_two_machines_of_one_name_that_start_together_get_different_ones(
    tmp_path: Path, ledger: Ledger, settings: Settings
) -> None:
    with ExitStack() as stack:
        first = claim(tmp_path / "a", stack, take=taker(settings, "aaaaaaaa"))
        second = claim(tmp_path / "b", stack, take=taker(settings, "bbbbbbbb"))

    assert first[0].node != second[0].node
    assert ledger.workers.all() == []


def test_a_worker_that_starts_again_keeps_its_name(tmp_path: Path, ledger: Ledger, settings: Settings) -> None:
    machine = machine_of(tmp_path)
    ledger.workers.register("cpu0@mill", "tiny", WorkerInfo(pid=1, machine=machine))

    with ExitStack() as stack:
        found = claim(tmp_path, stack, take=taker(settings, machine_of(tmp_path)))

    assert found[0].node == "cpu0@mill"


def test_the_name_of_a_worker_that_is_long_silent_may_be_taken(
    tmp_path: Path, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.workers.register("cpu0@mill", "tiny", WorkerInfo(pid=1, machine="ffffffff"))
    monkeypatch.setattr("reelmill_common.ledger.base.LIVE_S", 0.0)

    with ExitStack() as stack:
        found = claim(tmp_path, stack, take=taker(settings, "1a2b3c4d"))

    assert found[0].node == "cpu0@mill"


def test_machines_differ_by_boot_and_by_state_folder(tmp_path: Path) -> None:
    for name in ("boot1", "boot2"):
        (tmp_path / name).write_text(name)
    here, there = tmp_path / "here", tmp_path / "there"

    found = {machine_of(folder, tmp_path / boot) for folder in (here, there) for boot in ("boot1", "boot2")}

    assert len(found) == 4
    assert machine_of(here, tmp_path / "boot1") in found


def test_starting_a_worker_by_hand_forgives_it(settings: Settings) -> None:
    with Ledger.connect(settings) as ledger:
        ledger.workers.register("cpu0@test", "tiny", WorkerInfo())
        ledger.workers.quarantine("cpu0@test", "its model was incomplete")

        slots.forgive(settings, [WorkerSlot(device="", node="cpu0@test"), WorkerSlot(device="", node="never@seen")])
        ledger.workers.register("cpu0@test", "tiny", WorkerInfo())

        assert ledger.workers.all()[0].state is WorkerState.STARTING
