"""A thread that works in rounds, and a log that does not repeat itself."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from fixtures.valkey import wait_for
from reelmill_common.services.background import MOST_REMEMBERED, BackgroundThread, ErrorLog

NEVER_S = 3600.0


def test_rounds_are_made_until_the_thread_is_closed() -> None:
    rounds: list[bool] = []
    thread = BackgroundThread(name="test", work=lambda: rounds.append(True), every_s=0.001)

    thread.start()
    wait_for(lambda: len(rounds) > 2, what="rounds")
    thread.close()
    made = len(rounds)

    assert thread._thread is not None
    assert not thread._thread.is_alive()
    assert len(rounds) == made


def test_the_first_round_comes_at_once_only_where_it_is_asked_for() -> None:
    rounds: list[str] = []
    patient = BackgroundThread(name="test", work=lambda: rounds.append("patient"), every_s=NEVER_S)
    eager = BackgroundThread(name="test", work=lambda: rounds.append("eager"), every_s=NEVER_S, at_once=True)

    for thread in (patient, eager):
        thread.start()
    wait_for(lambda: rounds, what="a round")
    for thread in (patient, eager):
        thread.close()

    assert rounds == ["eager"]


def test_waking_a_thread_makes_one_round() -> None:
    done = threading.Semaphore(0)
    thread = BackgroundThread(name="test", work=done.release)

    thread.start()
    for _ in range(2):
        assert not done.acquire(blocking=False)
        thread.wake()
        assert done.acquire(timeout=60)
    thread.close()

    assert not done.acquire(blocking=False)


def test_a_wake_during_a_round_makes_another_one() -> None:
    began, go_on, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        began.set()
        go_on.wait(60)
        done.release()

    thread = BackgroundThread(name="test", work=work)
    thread.start()
    thread.wake()
    assert began.wait(60)
    thread.wake()
    go_on.set()

    assert [done.acquire(timeout=60) for _ in range(2)] == [True, True]
    thread.close()


def test_a_round_that_raises_ends_nothing_and_is_reported() -> None:
    errors: list[str] = []
    thread = BackgroundThread(
        name="test", work=lambda: 1 / 0, every_s=0.001, on_error=lambda err: errors.append(str(err))
    )

    thread.start()
    wait_for(lambda: len(errors) > 1, what="two errors")
    thread.close()

    assert set(errors) == {"division by zero"}


def test_an_error_that_nobody_takes_is_logged_as_a_bug() -> None:
    with capture_logs() as lines:
        thread = BackgroundThread(name="test", work=lambda: 1 / 0, every_s=NEVER_S, at_once=True)
        thread.start()
        wait_for(lambda: lines, what="a line")
        thread.close()

    assert [(line["event"], line["thread"], line["log_level"]) for line in lines] == [
        ("thread.failed", "test", "error")
    ]


def test_a_round_may_change_the_pause() -> None:
    rounds: list[bool] = []

    def work() -> None:
        rounds.append(True)
        thread.every_s = 0.001

    thread = BackgroundThread(name="test", work=work, every_s=NEVER_S, at_once=True)
    thread.start()
    wait_for(lambda: len(rounds) > 1, what="a second round")
    thread.close()


def test_a_thread_begins_once_and_ends_with_its_last_words() -> None:
    ends: list[str] = []
    thread = BackgroundThread(
        name="test", work=lambda: None, every_s=NEVER_S, at_end=lambda: ends.append(threading.current_thread().name)
    )

    thread.start()
    first = thread._thread
    thread.start()
    same = thread._thread is first
    thread.close()

    assert (same, ends) == (True, ["test"])


def test_closing_does_not_wait_for_a_round_longer_than_asked() -> None:
    began, go_on = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go_on.wait(60)

    thread = BackgroundThread(name="test", work=work, every_s=NEVER_S, at_once=True)
    thread.start()
    assert began.wait(60)
    thread.close(0)

    assert thread._thread is not None
    assert thread._thread.is_alive()
    go_on.set()
    thread.close()
    assert not thread._thread.is_alive()


def test_closing_a_thread_that_was_never_started_does_no_harm() -> None:
    thread = BackgroundThread(name="test", work=pytest.fail)

    thread.close()

    assert (thread.is_started, thread.closing.is_set()) == (False, True)


def test_an_error_is_new_once_until_a_success() -> None:
    errors = ErrorLog()

    first = [errors.is_new(text) for text in ("lost", "lost", "full", "lost")]
    failed, failed_again = errors.clear(), errors.clear()

    assert first == [True, False, True, False]
    assert (failed, failed_again) == (True, False)
    assert errors.is_new("lost")


def test_errors_that_all_differ_do_not_fill_the_memory() -> None:
    errors = ErrorLog()

    assert all(errors.is_new(str(number)) for number in range(3 * MOST_REMEMBERED))
    assert len(errors._logged) <= MOST_REMEMBERED
