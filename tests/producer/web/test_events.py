"""Events: followed, resumed, cut off, and read once for all followers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import islice

import pytest

from fixtures.hand import Hand
from fixtures.visitor import Visitor, messages
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.web import events
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.events import EventFeed, place_of
from reelmill_producer.web.problems import Refusal


def test_a_batch_is_followed_as_it_happens(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/other", {"rows": ["an owl"]})
    console("PUT", "batches/night", {"rows": ["a fox"]})

    found = messages(console.lines("batches/night/events?after=0-0"))
    first = next(found)
    claimed = hand.claim()
    rest = list(islice(found, 2))

    assert (first["event"], json.loads(first["data"])["batch"]) == ("batch.submitted", "night")
    assert first["id"] == json.loads(first["data"])["event_id"]
    assert [item["event"] for item in rest] == ["job.dispatched", "job.claimed"]
    assert json.loads(rest[1]["data"])["job_id"] == claimed.job_id


def test_a_follower_resumes_after_its_last_event(console: Visitor, ledger: Ledger) -> None:
    for number in range(5):
        console("PUT", f"batches/b{number}", {"rows": ["a fox"]})
    known = [event.event_id for event in ledger.events.read(after="0-0")]

    found = messages(console.lines("events", {"Last-Event-ID": known[1]}))

    assert [item["id"] for item in islice(found, len(known) - 2)] == known[2:]


def test_a_follower_whose_last_event_is_no_longer_kept_is_told_of_the_gap(
    make_console: Callable[..., Visitor], client: Reelmill
) -> None:
    client.submit_many(["a fox"], batch="night")  # before the console began to read, so that Redis has to be asked
    console = make_console()

    (gap,) = messages(console.lines("events", {"Last-Event-ID": "1000-0"}))

    assert gap["event"] == "gap"
    assert place_of(gap["id"]) <= place_of(client.ledger.events.newest())


def test_a_thousand_followers_cost_two_connections(settings: Settings, ledger: Ledger, hand: Hand) -> None:
    """Each gets every event; the server of Redis counts the connections of this feed alone."""
    followers = 1000
    before = clients(ledger)

    async def follow(feed: EventFeed) -> list[bytes]:
        return [piece async for piece in feed.follow(lambda entry: entry.batch == "night")]

    async def run() -> tuple[list[list[bytes]], int]:
        connection = FarmConnection(settings)
        feed = EventFeed(connection, most_followers=followers)
        feed.start()
        while feed._since is None:
            await asyncio.sleep(0.01)
        tasks = [asyncio.create_task(follow(feed)) for _ in range(followers)]
        await asyncio.sleep(0)
        await asyncio.to_thread(submit)
        while len(feed._ring) < 2:
            await asyncio.sleep(0.01)
        extra = clients(ledger) - before
        feed.end()
        feed.stop()
        found = await asyncio.gather(*tasks)
        connection.close()
        return found, extra

    def submit() -> None:
        from reelmill_common.jobs import Batch, RenderJob, RenderSpec  # noqa: PLC0415 - one test

        for row in ("fox", "owl"):
            job = RenderJob(batch="night", row=row, spec=RenderSpec(prompt=f"a {row}", profile="tiny"))
            ledger.batches.submit(Batch(name="night"), [job])

    found, extra = asyncio.run(run())

    assert {b"".join(pieces).count(b"event: batch.submitted") for pieces in found} == {2}
    assert 0 < extra <= 2


def clients(ledger: Ledger) -> int:
    return len(ledger._server.read([("CLIENT", "LIST")])[0].splitlines())


def test_a_follower_that_reads_too_slowly_is_cut_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BEHIND_MOST", 3)

    async def run() -> list[bytes]:
        feed = EventFeed(FarmConnection(settings), most_followers=1)
        feed._begin((1, 0))
        stream = feed.follow(lambda _: True)
        pieces = [await anext(stream)]
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        feed._publish([events.FeedEvent((2, number), "b", "job.staged", "", b"x\n\n") for number in range(4)])
        return [*pieces, await waiting, *[piece async for piece in stream]]

    *_, last = asyncio.run(run())

    assert last.startswith(b"id: 2-3\nevent: gap\n")


def test_a_stream_ends_with_its_token(settings: Settings) -> None:
    async def run() -> list[bytes]:
        feed = EventFeed(FarmConnection(settings), most_followers=1)
        feed._begin((1, 0))
        stream = feed.follow(lambda _: False, token="me")
        pieces = [await anext(stream)]
        rest = asyncio.create_task(collected(stream))
        await asyncio.sleep(0)
        for name in ("you", "me"):
            feed._publish([events.FeedEvent((2, 0), "", "token.revoked", None, b"x", name)])
        return pieces + await rest

    assert asyncio.run(run()) == [b"retry: 2000\n\n"]


async def collected(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in stream]


def test_an_id_is_compared_by_its_numbers() -> None:
    assert place_of("9-10") > place_of("9-9")
    with pytest.raises(Refusal):
        place_of("9")
