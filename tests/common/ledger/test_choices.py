"""Choices: marks of clips, until the batch is pruned."""

from __future__ import annotations

import pytest
import redis

from common.ledger_steps import make_jobs
from fixtures.hand import Hand
from reelmill_common.archive import archive, read_archive
from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import ClipChoice, ClipMark, EventName, Ledger
from reelmill_common.ledger.retention import Pruned
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store

GOOD = ClipChoice(mark=ClipMark.FAVOURITE, note="the fox blinks")


@pytest.fixture
def ids(ledger: Ledger, hand: Hand) -> list[str]:
    """Five jobs of a batch, all with a clip, in the order of submission."""
    jobs = make_jobs("night", 5)
    ledger.batches.submit(Batch(name="night"), jobs)
    for _ in jobs:
        hand.finish(hand.claim())
    return [job.job_id for job in jobs]


def test_marks_stand_on_their_jobs_and_change(ledger: Ledger, ids: list[str]) -> None:
    ledger.choices.set(ids[3], GOOD)
    ledger.choices.set(ids[0], ClipChoice(mark=ClipMark.FAVOURITE))
    ledger.choices.set(ids[1], ClipChoice(mark=ClipMark.FAVOURITE))
    ledger.choices.set(ids[1], ClipChoice(mark=ClipMark.REJECT, note="black"))
    ledger.choices.set(ids[2], GOOD)
    ledger.choices.set(ids[2], None)

    marks = [view.choice for view in ledger.jobs.page("night")]

    assert marks == [
        ClipChoice(mark=ClipMark.FAVOURITE),
        ClipChoice(mark=ClipMark.REJECT, note="black"),
        None,
        GOOD,
        None,
    ]
    assert [view.job_id for view in ledger.choices.chosen("night", ClipMark.FAVOURITE)] == [ids[0], ids[3]]
    assert [view.job_id for view in ledger.choices.chosen("night", ClipMark.REJECT)] == [ids[1]]


def test_a_mark_is_one_event_without_the_note(ledger: Ledger, ids: list[str]) -> None:
    after = ledger.events.newest()
    for choice in (GOOD, GOOD, None):
        ledger.choices.set(ids[0], choice)

    emitted = ledger.events.read(after=after)

    assert [(event.name, event.batch, event.job_id, event.fields) for event in emitted] == [
        (EventName.JOB_CHOSEN, "night", ids[0], {"mark": "favourite"}),
        (EventName.JOB_CHOSEN, "night", ids[0], {"mark": ""}),
    ]


def test_a_retry_leaves_the_mark(ledger: Ledger, ids: list[str]) -> None:
    ledger.choices.set(ids[0], GOOD)
    (view,) = ledger.jobs.find([ids[0]])
    assert view.result is not None

    ledger.jobs.redo([(ids[0], view.result.key)])

    again = ledger.jobs.get(ids[0])
    assert (again.state, again.choice) == (JobState.QUEUED, GOOD)


def test_marks_vanish_with_the_batch_and_stay_in_its_archive(
    ledger: Ledger, ids: list[str], settings: Settings
) -> None:
    ledger.choices.set(ids[4], GOOD)
    store = open_store(settings)
    key = archive(ledger, store, "night")

    assert ledger.retention.prune_batch(ledger.batches.get("night")) is Pruned.PRUNED

    with redis.Redis.from_url(settings.redis_url) as client:
        assert client.keys(f"reelmill:{{{settings.farm}}}:*night*") == []
        assert client.keys(f"reelmill:{{{settings.farm}}}:choices*") == []
    kept = {record["row"]: record["choice"] for record in read_archive(store, key) if record["kind"] == "job"}
    assert list(kept.values()) == [None] * 4 + [{"mark": "favourite", "note": "the fox blinks"}]


def test_what_is_not_there_cannot_be_marked(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no job"):
        ledger.choices.set("00000000-0000-5000-8000-000000000000", GOOD)
    with pytest.raises(NotFound, match="no batch 'night'"):
        ledger.choices.chosen("night", ClipMark.FAVOURITE)
