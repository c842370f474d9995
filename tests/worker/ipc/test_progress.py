"""A child tells how far it is, and a stage that takes far too long is told from a slow one and from a first one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reelmill_worker.ipc.progress import Progress, StagePace, read

SHAPE = (832, 480, 81)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(tmp_path: Path, clock: Clock) -> StagePace:
    return StagePace(path=tmp_path / "run" / "cpu0@test.7.progress", clock=clock)


def render(pace: StagePace, clock: Clock, seconds: float) -> None:
    pace.enter(SHAPE, "denoise 1/3")
    clock.now += seconds
    pace.enter(SHAPE, "decode")
    clock.now += 0.5
    pace.leave(done=True)


def written(pace: StagePace) -> Progress:
    assert pace.path is not None
    progress = read(pace.path, pid=os.getpid())
    assert progress is not None
    return progress


@pytest.mark.parametrize(
    ("after_s", "stuck"),
    [
        pytest.param(29, False, id="below the floor"),
        pytest.param(49, False, id="below ten times the mean"),
        pytest.param(51, True, id="beyond both"),
    ],
)
def test_a_stage_is_stuck_after_the_floor_and_ten_times_its_mean(
    pace: StagePace, clock: Clock, after_s: float, *, stuck: bool
) -> None:
    render(pace, clock, 5.0)

    pace.enter(SHAPE, "denoise 1/3")

    assert written(pace).is_stuck(clock.now + after_s, floor_s=30) is stuck


def test_a_first_stage_may_take_as_long_as_it_takes_since_it_may_compile(pace: StagePace, clock: Clock) -> None:
    render(pace, clock, 5.0)

    pace.enter((832, 480, 5), "denoise 1/3")

    assert not written(pace).is_stuck(clock.now + 10_000, floor_s=30)


def test_nothing_is_stuck_between_renders(pace: StagePace, clock: Clock) -> None:
    render(pace, clock, 5.0)

    assert not written(pace).is_stuck(clock.now + 10_000, floor_s=30)


def test_a_full_disk_ends_no_render(clock: Clock) -> None:
    pace = StagePace(path=Path("/dev/full"), clock=clock)

    render(pace, clock, 5.0)

    assert pace._file is not None


def test_a_folder_that_cannot_be_made_ends_no_render(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "run").write_text("in the way")
    pace = StagePace(path=tmp_path / "run" / "cpu0@test.7.progress", clock=clock)

    render(pace, clock, 5.0)

    assert pace._file is None


def test_half_a_word_is_not_read_and_a_shorter_one_leaves_nothing_of_a_longer(pace: StagePace, clock: Clock) -> None:
    render(pace, clock, 5.0)
    assert pace.path is not None
    whole = pace.path.read_bytes()

    pace.path.write_bytes(whole.replace(b"0.0", b"1.0"))
    half = read(pace.path, pid=os.getpid())
    pace.leave(done=True)

    assert half is None
    assert written(pace) == Progress(pid=os.getpid())
    assert len(whole) == len(pace.path.read_bytes())


def test_a_dead_childs_progress_is_not_read(pace: StagePace, clock: Clock) -> None:
    render(pace, clock, 5.0)

    assert pace.path is not None
    assert read(pace.path, pid=os.getpid() + 1) is None
