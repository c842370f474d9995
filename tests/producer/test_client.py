"""The SDK: submitting and following jobs from Python."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from common.ledger_steps import make_jobs
from fixtures.hand import Hand
from fixtures.tcp_proxy import TcpProxy, tcp_proxy
from reelmill_common.errors import InvalidJob, InvalidSettings, JobConflict, LedgerUnavailable
from reelmill_common.jobs import Batch, JobState, RenderSpec
from reelmill_common.ledger import Ledger, Submitted
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill


def test_it_connects_by_the_environment(settings: Settings) -> None:
    with Reelmill.from_env(settings.to_env()) as client:
        assert client.batches() == []


def test_a_wrong_environment_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="REELMILL_REDIS is unknown"):
        Reelmill.from_env({"REELMILL_REDIS": "redis://x"})


def test_without_a_url_and_without_a_running_farm_it_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(LedgerUnavailable, match=r"no farm runs in .*; start one with `reelmill up`"):
        Reelmill.from_env({"REELMILL_STATE_DIR": str(settings.state_dir)})


def test_a_prompt_becomes_a_job_of_the_default_profile(client: Reelmill) -> None:
    job = client.job(client.submit("a red fox", batch="sdk"))

    assert (job.state, job.spec) == (JobState.QUEUED, RenderSpec(prompt="a red fox", profile="tiny"))


def test_submitting_the_same_spec_names_the_same_job(client: Reelmill) -> None:
    spec = RenderSpec(prompt="a red fox", profile="tiny")

    assert client.submit(spec, batch="sdk") == client.submit(spec, batch="sdk")
    assert client.batch("sdk").total == 1


def test_many_rows_of_every_kind_are_submitted_at_once(client: Reelmill) -> None:
    rows = ["a fox", RenderSpec(prompt="an owl", profile="tiny"), {"id": "hare", "prompt": "a hare", "seed": "7"}]

    submitted = client.submit_many([*rows, "a fox"], batch=Batch(name="sdk", priority=8))

    assert submitted == Submitted(added=3, unchanged=0)
    assert client.batch("sdk").priority == 8
    assert [job.spec.seed for job in client.jobs("sdk")] == [1024, 1024, 7]


def test_an_iterator_is_taken_too(client: Reelmill) -> None:
    client.submit_many(["a fox"], batch="sdk")

    assert client.submit_many((f"a fox {n}" for n in range(3)), batch="sdk") == Submitted(added=3, unchanged=0)


@pytest.mark.parametrize(
    ("rows", "error", "texts"),
    [
        pytest.param(["a fox", ""], InvalidJob, "prompt is empty", id="empty prompt"),
        pytest.param([{"prompt": "a fox", "sede": 1}], InvalidJob, "unknown field sede", id="unknown field"),
        pytest.param(
            [{"id": "a", "prompt": "fox"}, {"id": "a", "prompt": "owl"}],
            JobConflict,
            "row 'a' is given twice",
            id="twice",
        ),
    ],
)
def test_one_wrong_row_submits_nothing(
    client: Reelmill, rows: list[object], error: type[Exception], texts: str
) -> None:
    with pytest.raises(error, match=texts):
        client.submit_many(rows, batch="sdk")  # type: ignore[arg-type]

    assert client.batches() == []


def test_a_row_that_changed_is_refused_before_anything_is_added(client: Reelmill) -> None:
    client.submit_many([{"id": f"row-{n}", "prompt": "fox", "seed": n} for n in range(600)], batch="sdk")
    rows = [{"id": f"row-{n}", "prompt": "fox", "seed": n} for n in range(700)]
    rows[599]["seed"] = 7

    with pytest.raises(JobConflict, match="has row-599 already"):
        client.submit_many(rows, batch="sdk")

    assert client.batch("sdk").total == 600


def test_an_idle_worker_gets_its_job_at_once(client: Reelmill, hand: Hand) -> None:
    client.submit("a fox", batch="sdk")

    assert client.batch("sdk").counts[JobState.DISPATCHED] == 1


def test_a_watch_ends_with_its_batch(client: Reelmill, hand: Hand) -> None:
    client.submit_many(["a fox", "an owl"], batch="sdk")
    client.submit("another", batch="other")
    worker = threading.Thread(target=lambda: [hand.finish(hand.claim()) for _ in range(3)])
    worker.start()

    events = list(client.watch("sdk"))

    worker.join()
    assert {event.batch for event in events} == {"sdk"}
    assert [event.name for event in events].count("job.finished") == 2
    assert events[-1].name == "batch.finished"


def test_a_watch_goes_on_after_an_event(client: Reelmill, hand: Hand) -> None:
    client.submit("a fox", batch="sdk")
    hand.finish(hand.claim())
    events = list(client.watch("sdk"))

    assert list(client.watch("sdk", after=events[1].event_id)) == events[2:]


@contextmanager
def busy_farm(ledger: Ledger) -> Iterator[None]:
    """Events of other batches without a pause, about a thousand a second, for the length of a block."""
    ledger.batches.submit(Batch(name="other"), make_jobs("other", 1))
    ledger.batches.cancel("other")
    over = threading.Event()

    def change() -> None:
        while not over.wait(0.02):
            for _ in range(10):
                ledger.batches.pause("other")
                ledger.batches.resume("other")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def far_away(settings: Settings, proxy: TcpProxy) -> Settings:
    url = urlsplit(settings.redis_url)
    return dataclasses.replace(settings, redis_url=settings.redis_url.replace(f":{url.port}", f":{proxy.port}"))


def test_a_watch_ends_with_its_batch_while_others_go_on(settings: Settings, ledger: Ledger, hand: Hand) -> None:
    port = urlsplit(settings.redis_url).port
    assert port is not None
    ledger.batches.submit(Batch(name="night"), make_jobs("night", 2))

    with tcp_proxy(port, delay_s=0.04) as proxy, Reelmill(far_away(settings, proxy)) as far, busy_farm(ledger):
        rounds = far.rounds("night")
        names = [event.name for event in next(rounds)]
        for _ in range(2):
            hand.finish(hand.claim())
        ended = time.monotonic()
        for events in rounds:
            names += [event.name for event in events]
            assert time.monotonic() - ended < 2.0, names

    assert (names[0], names.count("job.finished"), names[-1]) == ("batch.submitted", 2, "batch.finished")


def test_a_wait_ends_with_its_time(client: Reelmill) -> None:
    client.submit("a fox", batch="sdk")

    assert client.wait("sdk", timeout_s=0.1).remaining == 1


def test_a_long_batch_is_read_page_by_page(client: Reelmill) -> None:
    client.submit_many([f"a fox {n}" for n in range(2500)], batch="sdk")

    assert len({job.job_id for job in client.jobs("sdk")}) == 2500
