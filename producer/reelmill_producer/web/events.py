"""Events: the ledger's stream for any number of followers, read once a process."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from anyio import CapacityLimiter, to_thread

from reelmill_common.errors import LedgerRefused, LedgerUnavailable, NotFound
from reelmill_common.ledger import Event, EventName, Ledger
from reelmill_producer.outputs.records import event_record
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.problems import Refusal

KEPT = 10_000
"""Newest events in memory, about 5 MB: a follower that comes back within them costs Redis nothing."""
BEHIND_MOST = 5_000
"""Events that a follower may be behind before it is cut off."""
BLOCK_S = 0.25
"""Seconds that one read waits: it is what the end of the process waits for."""
AGAIN_S = 0.5
"""Seconds between two tries while Redis is away."""
HEARTBEAT_S = 15.0
MOST_S = 3600.0
"""Seconds after which a stream ends, so that a token that has expired is asked for again."""
PAGE = 1000
OWNERS_KEPT = 10_000

AWAY = b'event: away\ndata: {"event": "away"}\n\n'
BACK = b'event: back\ndata: {"event": "back"}\n\n'
"""What a follower is sent when Redis is lost, and when it is there again. They have no id: nothing is missing then."""

_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
log = structlog.get_logger(__name__)

Place = tuple[int, int]
"""The id of an event of the stream, as two numbers."""
START: Place = (0, 0)
"""Before all events: who begins there gets all that are kept."""


class FeedEvent(NamedTuple):
    """An event as it is sent.

    Attributes:
        place: Its id, to be compared.
        owner: Owner of its batch; None if it has no batch, or one that the ledger has forgotten.
        text: What is sent.
        revoked: Name of the token that it revokes.
    """

    place: Place
    batch: str
    name: str
    owner: str | None
    text: bytes
    revoked: str = ""


Wanted = Callable[[FeedEvent], bool]


@dataclass(slots=True, eq=False)
class Follower:
    """One stream of events: what is still to be sent, and the token that lets its reader in."""

    wanted: Wanted
    token: str = ""
    waiting: deque[FeedEvent] = field(default_factory=deque[FeedEvent])
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_cut_off: bool = False
    is_ended: bool = False


class EventFeed:
    """Reads the stream in one thread and hands every event to those who follow. `start` and `follow` belong to a loop.

    It needs two connections to Redis at most: one waits for events, the other reads what a follower missed.

    Attributes:
        one: What a thousand followers that come at once wait for, so that they take one connection and not forty.
    """

    def __init__(self, connection: FarmConnection, *, most_followers: int, kept: int = KEPT) -> None:
        self._connection = connection
        self._most, self._kept = most_followers, kept
        self._ring: deque[FeedEvent] = deque()
        self._since: Place | None = None
        """All events after it are in the ring; None while nothing was read."""
        self._followers: set[Follower] = set()
        self._owners: OrderedDict[str, str | None] = OrderedDict()
        self._stopped = threading.Event()
        self._is_ended = False
        self._is_away = False
        self._thread: threading.Thread | None = None
        self.one = CapacityLimiter(1)

    # -- in the thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read; in the loop of the followers."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._read, args=(loop,), name="console-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; blocks until the read that goes on has ended."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        after = ""
        while not self._stopped.is_set():
            try:
                ledger = self._connection.farm().ledger
                if not after:
                    after = ledger.events.newest()
                    loop.call_soon_threadsafe(self._begin, place_of(after))
                found = ledger.events.read(after=after, block_s=BLOCK_S, count=PAGE, stages=True)
                entries = self._entries(ledger, found)
            except (LedgerUnavailable, LedgerRefused) as err:
                if isinstance(err, LedgerUnavailable):
                    self._connection.note(err)
                if not self._notify(loop, is_away=True):
                    return
                self._stopped.wait(AGAIN_S)
                continue
            except RuntimeError:  # the loop is closed
                return
            if not self._notify(loop, is_away=False):
                return
            if entries:
                after = found[-1].event_id
                loop.call_soon_threadsafe(self._publish, entries)

    def _notify(self, loop: asyncio.AbstractEventLoop, *, is_away: bool) -> bool:
        """Let followers know whether Redis is away; False if their loop is closed."""
        if is_away is not self._is_away:
            try:
                loop.call_soon_threadsafe(self._wake, is_away)
            except RuntimeError:
                return False
        return True

    def _entries(self, ledger: Ledger, found: Sequence[Event]) -> list[FeedEvent]:
        return [
            FeedEvent(
                place_of(one.event_id),
                one.batch,
                one.name,
                self._owner(ledger, one),
                encoded(one),
                one.fields.get("token", "") if one.name == str(EventName.TOKEN_REVOKED) else "",
            )
            for one in found
        ]

    def _owner(self, ledger: Ledger, event: Event) -> str | None:
        """Return the owner of an event's batch, which is asked for once."""
        if not event.batch:
            return None
        if event.name == str(EventName.BATCH_PRUNED):  # its name may be taken by another owner
            return self._owners.pop(event.batch, None)
        if event.batch not in self._owners:
            try:
                self._owners[event.batch] = ledger.batches.get(event.batch).owner
            except NotFound:
                return None
            while len(self._owners) > OWNERS_KEPT:
                self._owners.popitem(last=False)
        return self._owners[event.batch]

    # -- in the loop -----------------------------------------------------------------------------------------------

    def _begin(self, since: Place) -> None:
        self._since = since

    def _wake(self, is_away: bool) -> None:  # noqa: FBT001 - called by position
        self._is_away = is_away
        for follower in self._followers:
            follower.news.set()

    def _publish(self, entries: Sequence[FeedEvent]) -> None:
        for entry in entries:
            if len(self._ring) >= self._kept:
                self._since = self._ring.popleft().place
            self._ring.append(entry)
        revoked = {entry.revoked for entry in entries if entry.revoked}
        for follower in self._followers:
            if follower.token in revoked:
                follower.is_ended = True
                follower.news.set()
            wanted = [entry for entry in entries if follower.wanted(entry)]
            if not wanted or follower.is_cut_off:
                continue
            if len(follower.waiting) + len(wanted) > BEHIND_MOST:
                follower.waiting.clear()
                follower.is_cut_off = True
            else:
                follower.waiting.extend(wanted)
            follower.news.set()

    def end(self) -> None:
        """End all streams: their clients come again, to another process or to this one when it is back."""
        self._is_ended = True
        for follower in self._followers:
            follower.news.set()

    def require_room(self) -> None:
        """Raise `Refusal` with 503 if no more can follow."""
        if len(self._followers) >= self._most:
            raise Refusal(503, f"{self._most:,} streams are open already, as REELMILL_CONSOLE_FOLLOWERS allows")

    async def follow(self, wanted: Wanted, *, after: str = "", token: str = "") -> AsyncIterator[bytes]:
        """Yield pieces of a stream of server-sent events, for an hour: who has a good token then comes again.

        Args:
            wanted: Which events.
            after: Id of the event after which to begin; empty: the newest.
            token: Name of the token that lets the follower in: when it is revoked, the stream ends.
        """
        follower, until = Follower(wanted, token), time.monotonic() + MOST_S
        self._followers.add(follower)
        last, is_away = place_of(after) if after else START, False
        try:
            yield b"retry: 2000\n\n"
            if after:
                async for missed in self._missed(last):
                    if missed is None:
                        yield self._gap("the events since then are no longer kept")
                        return
                    last = missed[-1].place
                    if texts := _texts(missed, wanted):
                        yield texts
            while not (self._is_ended or follower.is_ended or time.monotonic() > until):
                if is_away is not self._is_away:
                    is_away = self._is_away
                    yield AWAY if is_away else BACK
                news = await _news(follower)
                if self._is_away is not is_away:
                    follower.news.set()  # what has come since then is sent behind it
                    continue
                if follower.is_cut_off:
                    yield self._gap("the stream was read too slowly")
                    return
                if not news:
                    yield b":\n\n"
                entries = [entry for entry in follower.waiting if entry.place > last]
                follower.waiting.clear()
                if entries:
                    last = entries[-1].place
                    yield b"".join(entry.text for entry in entries)
        except LedgerUnavailable as err:  # while the missed events were read: its reader comes again
            self._connection.note(err)
        finally:
            self._followers.discard(follower)

    async def _missed(self, last: Place) -> AsyncIterator[Sequence[FeedEvent] | None]:
        """Yield the events after a place up to now, from memory where it reaches; None if some are gone."""
        is_first = True
        while self._since is None or last < self._since:
            page = await to_thread.run_sync(self._page, last, is_first, limiter=self.one)
            if page is None:
                yield None
                return
            if not page:
                break
            is_first, last = False, page[-1].place
            yield page
        if held := [entry for entry in self._ring if entry.place > last]:
            yield held

    def _page(self, last: Place, is_first: bool) -> list[FeedEvent] | None:  # noqa: FBT001 - called by position
        """Read a page of the stream; None if the stream no longer reaches back to the place."""
        ledger = self._connection.farm().ledger
        if is_first and last != START:
            oldest = ledger.events.read(after="0-0", count=1)
            if not oldest or place_of(oldest[0].event_id) > last:
                return None
        return self._entries(ledger, ledger.events.read(after=f"{last[0]}-{last[1]}", count=PAGE, stages=True))

    def _gap(self, why: str) -> bytes:
        newest = self._ring[-1].place if self._ring else self._since or START
        return _sent("gap", f"{newest[0]}-{newest[1]}", json.dumps({"event": "gap", "reason": why}))


def place_of(event_id: str) -> Place:
    """Return an event's id as numbers. Raises `Refusal` with 422 if it is none."""
    found = _ID.fullmatch(event_id)
    if found is None:
        raise Refusal(422, f"{event_id[:40]!r} is not an event's id; use the id of an event, such as 1767225600000-0")
    return int(found[1]), int(found[2])


def encoded(event: Event) -> bytes:
    """Return an event as it is sent; its data is what `watch --json` prints."""
    return _sent(event.name, event.event_id, json.dumps(event_record(event), ensure_ascii=False))


def _sent(name: str, event_id: str, data: str) -> bytes:
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n".encode()


def _texts(entries: Iterable[FeedEvent], wanted: Wanted) -> bytes:
    return b"".join(entry.text for entry in entries if wanted(entry))


async def _news(follower: Follower) -> bool:
    """Wait for news; False if it is time for a sign of life."""
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            await follower.news.wait()
    except TimeoutError:
        return False
    follower.news.clear()
    return True
