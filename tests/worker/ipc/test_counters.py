"""What a rendering child counts: gaps with their cause, stages, ends; kept over the death of a child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.bench import Bench
from fixtures.valkey import wait_for
from reelmill_common.errors import BadOutput
from reelmill_common.jobs import RenderSpec
from reelmill_worker.child.renderer import FixedDurationRenderer, OnStage, TestPicture
from reelmill_worker.ipc.counters import BOUNDS_S, Counters, CounterValues, Histogram, LoadTime, read


def counted(bench: Bench) -> CounterValues:
    return bench.leases.counters._values


def gaps(counters: Counters) -> dict[str, float]:
    return {cause: histogram.total_s for cause, histogram in counters._values.gaps.items()}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the monotonic clock that the counters read."""
    now = [1000.0]
    monkeypatch.setattr("reelmill_worker.ipc.counters.time.monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, 1000.0 + seconds)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0.0, 0, id="none at all"),
        pytest.param(0.005, 0, id="the end of a bucket belongs to it"),
        pytest.param(0.0051, 1, id="just beyond"),
        pytest.param(9e9, len(BOUNDS_S), id="longer than all"),
    ],
)
def test_an_observation_falls_into_the_first_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    histogram = Histogram()

    histogram.add(seconds)

    assert [index for index, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.total_s == seconds


def test_a_gap_before_the_job_was_dispatched_is_lack_of_work_and_the_rest_is_the_queue(
    clock: Callable[[float], None],
) -> None:
    counters = Counters()
    counters.render_ended()

    clock(60.0)
    counters.render_began(sent_s=0.5)

    assert gaps(counters) == {"no_work": pytest.approx(59.5), "queue": pytest.approx(0.5)}


def test_a_job_that_was_waiting_all_the_time_leaves_no_lack_of_work(clock: Callable[[float], None]) -> None:
    counters = Counters()
    counters.render_ended()

    clock(0.02)
    counters.render_began(sent_s=30.0)

    assert gaps(counters) == {"queue": pytest.approx(0.02)}


def test_a_wait_for_room_is_told_apart_from_the_rest_of_its_gap(clock: Callable[[float], None]) -> None:
    counters = Counters()
    counters.render_ended()
    counters.waited("delivery_full", 4.0)
    counters.waited("store_down", 45.0)

    clock(50.0)
    counters.render_began(sent_s=60.0)

    assert gaps(counters) == {"delivery_full": 4.0, "store_down": 45.0, "queue": pytest.approx(1.0)}


def test_the_load_of_the_model_is_a_gap_of_its_own(clock: Callable[[float], None]) -> None:
    counters = Counters()

    counters.passed_gate(12.5)
    clock(1.0)
    counters.render_began(sent_s=0.0)

    assert gaps(counters) == {"starting": 12.5, "no_work": pytest.approx(1.0)}


def test_the_next_child_goes_on_from_what_the_last_one_counted(tmp_path: Path) -> None:
    path = tmp_path / "cpu0@host.1.figures"
    first = Counters(path)
    first.start(lambda: LoadTime(deliveries=2, spool_bytes=7, store_up=False))
    first.passed_gate(3.0)
    first.took({"denoise": 1.0})
    first.ended("failed", "bad_output")
    first.stop()

    second = Counters(path)
    at_first = read(path)
    second.start(LoadTime)
    second.passed_gate(2.0)
    second.took({"denoise": 2.0})
    second.ended("stored")
    second.stop()

    found = read(path)
    assert at_first.load == LoadTime(deliveries=2, spool_bytes=7, store_up=False)
    assert (found.starts, found.startup_s, found.load) == (2, 2.0, LoadTime())
    assert (sum(found.stages["denoise"].counts), found.stages["denoise"].total_s) == (2, 3.0)
    assert found.clips == {"failed": 1, "stored": 1}
    assert found.failures == {"bad_output": 1}


def test_counts_that_cannot_be_written_are_kept_and_no_render_is_harmed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "cpu0@host.1.figures"
    counters = Counters(path)
    path.parent.write_text("in the way, as a full disk is")

    counters.ended("stored")
    counters._write()
    path.parent.unlink()
    counters._write()

    assert read(path).clips == {"stored": 1}


def test_a_stored_clip_is_counted_with_all_its_stages(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()

    bench.job_runner().run(job_id, generation)
    wait_for(lambda: bench.ends(job_id), what="the clip")

    wait_for(lambda: counted(bench).clips == {"stored": 1}, what="the count")
    assert set(counted(bench).stages) == {"denoise", "mux", "upload"}
    assert counted(bench).failures == {}
    assert counted(bench).idle_since > 0


class Failing(FixedDurationRenderer):
    def render(self, spec: RenderSpec, on_stage: OnStage) -> TestPicture:
        raise BadOutput("all black")


def test_a_failed_attempt_is_counted_by_its_code_and_a_retried_one_as_such(bench: Bench) -> None:
    ((job_id, generation),) = bench.submit()

    outcome = bench.job_runner(Failing(seconds=0)).run(job_id, generation)["outcome"]

    assert outcome == "bad_output"
    assert counted(bench).failures == {"bad_output": 1}
    assert sum(counted(bench).clips.values()) == 1
    assert counted(bench).clips.keys() <= {"failed", "retried"}
    assert counted(bench).idle_since > 0


def test_an_upload_that_the_store_failed_is_counted_and_what_waits_is_told(bench: Bench) -> None:
    root = Path(bench.settings.store_url.removeprefix("file://"))
    root.write_text("in the way")  # even root cannot make a folder here
    ((job_id, generation),) = bench.submit()

    bench.job_runner().run(job_id, generation)
    load = wait_for(
        lambda: now if not (now := bench.deliveries.load()).store_up and now.spool_bytes else None,
        what="a parked clip",
    )
    errors = dict(counted(bench).store_errors)
    root.unlink()
    wait_for(lambda: bench.ends(job_id), what="the clip")

    assert load.deliveries == 1
    assert len(errors) == 1
    assert errors.keys() <= {"store_unavailable", "store_refused"}
    wait_for(lambda: bench.deliveries.load() == LoadTime(), what="nothing under way")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stages": {}, "gaps": {}, "load": {}, "removed_since": 1}'])
def test_a_file_that_cannot_be_read_keeps_no_child_from_starting(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cpu0@test.7.figures"
    path.write_text(text)

    assert Counters(path)._values == CounterValues()
