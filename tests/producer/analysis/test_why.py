"""`reelmill why` gives one true cause for each state that a batch or a job can be in."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from fixtures.hand import Hand
from reelmill_common.calendar.windows import DAYS
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_producer.analysis.why import Reason, WaitCause, obstacle, sentence, why
from reelmill_producer.client import Reelmill


def submit(ledger: Ledger, name: str, count: int = 2, **policy: object) -> list[str]:
    jobs = [
        RenderJob(batch=name, row=f"r{row}", spec=RenderSpec(prompt=f"clip {row}", profile="tiny"))
        for row in range(count)
    ]
    ledger.batches.submit(Batch(name=name, **policy), jobs)  # type: ignore[arg-type]
    return [job.job_id for job in jobs]


@pytest.fixture
def ask(settings: Settings) -> Callable[[str], Reason]:
    def ask(target: str) -> Reason:
        with Reelmill(settings) as farm:
            found, reason = why(farm, target)
            assert sentence(found, reason).startswith(("batch ", "job "))
            return reason

    return ask


def test_without_a_worker_nobody_takes_it(ledger: Ledger, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night")

    assert ask("night").cause is ask(ids[1]).cause is WaitCause.NO_WORKER
    assert "reelmill worker" in ask(ids[1]).text


def test_quarantined_workers_are_counted_with_their_reason(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    ids = submit(ledger, "night")
    ledger.workers.quarantine(hand.name, "the canary is black")

    reason = ask(ids[0])

    assert reason.cause is WaitCause.NO_WORKER
    assert "the canary is black" in reason.text
    assert "1 of 1 quarantined" in reason.text


def test_clips_of_higher_priority_and_of_the_own_batch_go_first(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    ids = submit(ledger, "night", 4, priority=3)
    submit(ledger, "urgent", 5, priority=9)
    submit(ledger, "other", 2, priority=3)

    reason = ask(ids[2])

    assert (reason.cause, reason.behind, reason.above, reason.sharing) == (WaitCause.BEHIND, 7, {9: 5}, 1)
    assert reason.text == (
        "waits behind 7 clips (5 of priority 9, 2 of its own batch), in turn with 1 other batches of priority 3"
    )


def classes(ledger: Ledger, worker: str, *names: str) -> None:
    ledger.workers.register(worker, "tiny", WorkerInfo())
    ledger.workers.ready(worker, WorkerInfo(), lanes=[*(f"tiny@{name}" for name in names), "tiny"])


def test_more_urgent_clips_of_another_lane_go_first_where_its_workers_serve_both(
    ledger: Ledger, ask: Callable[[str], Reason]
) -> None:
    classes(ledger, "gpu0@a", "h100")
    ids = submit(ledger, "pinned", 2, priority=3, worker_class="h100")
    submit(ledger, "urgent", 68, priority=9)

    reason = ask(ids[0])

    assert (reason.behind, reason.above, reason.position) == (68, {9: 68}, 68)
    assert reason.text == "waits behind 68 clips (68 of priority 9)"


def test_more_urgent_clips_that_are_sent_already_or_kept_by_a_cap_go_first_too(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    submit(ledger, "urgent", 3, priority=9)
    submit(ledger, "capped", 5, priority=7, max_in_flight=1)
    hand.claim()  # one of two that are sent
    ids = submit(ledger, "night", 2, priority=3)

    assert ask(ids[0]).above == {9: 2, 7: 5}


def test_clips_that_take_turns_with_it_are_counted_in_its_position(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    submit(ledger, "amber", 10, weight=3)
    ids = submit(ledger, "birch", 10)

    reason = ask(ids[1])

    assert (reason.behind, reason.sharing, reason.position) == (1, 1, 5)
    assert ask(ids[0]).text == "waits its turn: 1 clips of 1 other batches of priority 5 go first"


def test_once_clips_are_measured_it_is_told_when_a_job_starts_and_a_batch_is_done(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    ids = submit(ledger, "night", 5)
    hand.finish(hand.claim(), seconds={"denoise": 10.0})
    hand.claim()
    now = ledger.timetable.now().timestamp()

    job, batch = ask(ids[4]), ask("night")

    assert job.starts_at == pytest.approx(now + 30, abs=5)
    assert batch.finish_at == pytest.approx(now + 40, abs=5)
    assert "; it starts at about 20" in job.text
    assert "1 clips are being rendered, 4 of 5 are left; they are done at about 20" in batch.text


def test_times_of_a_batch_with_a_window_are_in_the_zone_of_the_window(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    day = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    submit(ledger, "night", window=f"{day} 03:00-04:00 Asia/Tokyo")
    submit(ledger, "early", window="00:00-24:00 Asia/Tokyo", start_after=float(int(time.time())) + 3600)

    assert "opens at 20" in ask("night").text
    assert ask("night").text.endswith(" 03:00:00 JST")
    assert ask("early").text.endswith(" JST")


def test_a_job_with_a_priority_of_its_own_waits_at_that(
    ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]
) -> None:
    ids = submit(ledger, "night", 4, priority=3)
    ledger.jobs.prioritize(ids[3], 9)

    assert ask(ids[3]).behind == 0
    assert ask(ids[0]).above == {9: 1}


def test_a_batch_that_paused_itself_says_why(ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 3, max_failures="1")
    hand.fail(hand.claim())

    assert ask("night").cause is ask(ids[1]).cause is WaitCause.PAUSED
    assert "max_failures is 1" in ask("night").text


def test_a_held_job_is_held(ledger: Ledger, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 1)
    ledger.jobs.pause(ids[0])

    assert ask("night").cause is ask(ids[0]).cause is WaitCause.HELD


def test_a_shut_window_says_when_it_opens(ledger: Ledger, ask: Callable[[str], Reason]) -> None:
    day = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    ids = submit(ledger, "night", window=f"{day} 03:00-04:00 UTC")

    reason = ask(ids[0])

    assert reason.cause is WaitCause.WINDOW
    assert time.time() < (reason.until or 0) < time.time() + 8 * 86_400


def test_a_later_start_is_given(ledger: Ledger, ask: Callable[[str], Reason]) -> None:
    start = float(int(time.time())) + 3600
    submit(ledger, "night", start_after=start)

    assert (ask("night").cause, ask("night").until) == (WaitCause.START, start)


def test_the_batch_that_is_waited_for_is_named(ledger: Ledger, ask: Callable[[str], Reason]) -> None:
    submit(ledger, "first")
    ids = submit(ledger, "second", after=("first",))

    assert (ask(ids[0]).cause, ask(ids[0]).waits_for) == (WaitCause.AFTER, "first")


def test_a_batch_at_its_cap_says_so(ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 3, max_in_flight=1)
    hand.claim()

    assert ask(ids[2]).cause is WaitCause.BATCH_CAP


def test_an_owner_at_its_cap_says_so(ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 3, owner="ada")
    ledger.owners.set("ada", max_in_flight=1)
    hand.claim()

    assert ask(ids[2]).cause is WaitCause.OWNER_CAP
    assert "owner ada" in ask(ids[2]).text


def test_a_dispatched_job_is_in_the_queue(ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 1)
    ledger.dispatch.pump("tiny")

    reason = ask(ids[0])

    assert reason.cause is WaitCause.DISPATCHED
    assert abs((reason.since or 0) - time.time()) < 60


def test_a_running_job_says_where_and_at_what_stage(ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]) -> None:
    submit(ledger, "night", 1)
    claimed = hand.claim()
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)

    reason = ask(claimed.job_id)
    ledger.jobs.cancel(claimed.job_id)

    assert (reason.cause, reason.worker, reason.stage) == (WaitCause.RUNNING, hand.name, "denoise 2/3")
    assert ask(claimed.job_id).cause is ask("night").cause is WaitCause.CANCELLING


def test_how_it_ended_is_said(ledger: Ledger, hand: Hand, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 3)
    hand.fail(hand.claim())
    hand.finish(hand.claim())
    ledger.jobs.cancel(ids[2])

    assert [ask(job_id).cause for job_id in ids] == [WaitCause.FAILED, WaitCause.SUCCEEDED, WaitCause.CANCELLED]
    assert (ask(ids[0]).code, ask("night").cause) == ("bad_output", WaitCause.FAILED)


def test_what_did_not_start_in_time_has_expired(ledger: Ledger, ask: Callable[[str], Reason]) -> None:
    ids = submit(ledger, "night", 1, expires_at=time.time() - 60)
    ledger.dispatch.sweep()

    assert ask(ids[0]).cause is WaitCause.EXPIRED


def test_what_runs_has_no_obstacle(client: Reelmill, hand: Hand) -> None:
    client.submit_many(["a fox", "an owl"], batch="sdk")
    waiting_for_a_ready_worker = obstacle(client, "sdk")
    hand.claim()

    assert (waiting_for_a_ready_worker, obstacle(client, "sdk")) == ("", "")
