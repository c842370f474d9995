"""Two consoles at one address while Redis is away and they are killed: no job twice, no event missed, pages recover.

`OUTAGE_S=20 pytest -s tests/acceptance/test_console_outage.py` keeps Redis away for longer, and prints what it counted.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException

import pytest
from playwright.sync_api import Browser, Page, expect

from fixtures.cli import started
from fixtures.console import ConsoleServer, visiting
from fixtures.farm import Farm
from fixtures.tcp_proxy import tcp_proxy
from fixtures.valkey import free_port, wait_for
from fixtures.visitor import Visitor, messages
from reelmill_common.access import Role
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Event
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]  # a browser may have to be installed first

OUTAGE_S = float(os.environ.get("OUTAGE_S", "2"))
FOLLOWERS = 10
WRITERS = 2
PAUSE_S = 0.1
"""Seconds between two videos that a writer asks for."""
END = "the-end"
"""The batch whose submit is the last event that counts."""
FOX = {"prompt": "a red fox in the snow", "model": "tiny", "num_frames": 5}


@dataclass(slots=True, kw_only=True)
class Load:
    """Programs that ask for videos and follow the farm through one address, and try again whatever goes wrong.

    Attributes:
        made: Id of the video that each key was answered with.
        seen: Ids of the events that each follower has received, in order.
        broken: Requests and streams that failed.
        is_over: Ends the writers.
    """

    visitor: Visitor
    start: str
    made: dict[str, str] = field(default_factory=dict[str, str])
    seen: list[list[str]] = field(default_factory=list[list[str]])
    broken: Counter[str] = field(default_factory=Counter[str])
    is_over: threading.Event = field(default_factory=threading.Event)
    batches: set[str] = field(default_factory=set[str])

    def write(self, writer: int) -> None:
        number = 0
        while not self.is_over.wait(PAUSE_S):
            self.make(f"{writer}-{number}")
            number += 1

    def make(self, key: str) -> None:
        """Ask for a video until there is an answer: the same request, as a client does that has lost the answer."""
        while True:
            try:
                answer = self.visitor("POST", "/v1/videos", FOX, headers={"Idempotency-Key": key})
            except (OSError, HTTPException):
                self.broken["request"] += 1
            else:
                if answer.status == 200:
                    self.made[key] = answer.json["id"]
                    self.batches.add(answer.json["batch"])
                    return
                assert answer.status == 503, answer.body
                self.broken["request"] += 1
            time.sleep(PAUSE_S)

    def follow(self, ids: list[str]) -> None:
        while True:
            headers = {"Last-Event-ID": ids[-1] if ids else self.start}
            try:
                for message in messages(self.visitor.lines("events", headers)):
                    self.broken["gap"] += message["event"] == "gap"
                    if "id" in message:
                        ids.append(message["id"])
                    if message["event"] == "batch.submitted" and f'"{END}"' in message["data"]:
                        return
            except (OSError, HTTPException, AssertionError):
                pass  # as when the stream ends: its reader comes again
            self.broken["stream"] += 1
            time.sleep(PAUSE_S)

    @contextmanager
    def running(self) -> Iterator[list[threading.Thread]]:
        """Run all; give the followers, which end by themselves."""
        writers = [threading.Thread(target=self.write, args=(number,)) for number in range(WRITERS)]
        self.seen = [[] for _ in range(FOLLOWERS)]
        followers = [threading.Thread(target=self.follow, args=(ids,), daemon=True) for ids in self.seen]
        for thread in writers + followers:
            thread.start()
        try:
            yield followers
        finally:
            self.is_over.set()
            for thread in writers:
                thread.join()


@contextmanager
def consoles(farm: Farm) -> Iterator[tuple[Visitor, Callable[[int], None]]]:
    """Serve two consoles behind one address; give what asks there, and what kills one and starts it again."""
    ports = (free_port(), free_port())
    with ExitStack() as running:

        def serve(port: int) -> None:
            processes[port] = running.enter_context(started("serve", "--port", str(port), env=farm.settings.to_env()))
            processes[port].wait_for_line("the console answers")

        def restart(number: int) -> None:
            processes[ports[number]].interrupt(signal.SIGKILL)
            processes[ports[number]].wait()
            serve(ports[number])

        processes = {}
        for port in ports:
            serve(port)
        front = running.enter_context(tcp_proxy(*ports))
        token = farm.ledger.tokens.make("ann", Role.OPERATOR)
        yield Visitor(url=f"http://127.0.0.1:{front.port}", token=token), restart


def outage(server: ValkeyServer, page: Page) -> tuple[ValkeyServer, float, float]:
    """Keep Redis away; return the server that runs then, and how long the page took to say so, and to recover."""
    lost, back_at = page.locator("#lost"), time.monotonic() + OUTAGE_S
    began = time.monotonic()
    server.kill()
    expect(lost).to_contain_text("connection to the farm is lost")
    said_s = time.monotonic() - began
    wait_for(lambda: time.monotonic() >= back_at, what="the end of the outage")
    expect(lost).to_be_visible()
    began = time.monotonic()
    again = ValkeyServer.start(server.folder, port=server.port)
    expect(lost).to_be_hidden()
    return again, said_s, time.monotonic() - began


def test_an_outage_of_redis_and_killed_consoles_cost_nothing(
    browser: Browser, own_valkey: ValkeyServer, make_farm: Callable[..., Farm]
) -> None:
    farm = make_farm(redis_url=own_valkey.url, renderer="fixed:0.01", console_rate=0, lease_s=60.0)
    worker = farm.start(ready=False)
    with consoles(farm) as (visitor, restart), ExitStack() as stack:
        farm.wait_ready(worker)
        load = Load(visitor=visitor, start=farm.ledger.events.newest())
        load.make("first")
        (batch,) = load.batches
        visit = stack.enter_context(visiting(browser, ConsoleServer(farm=farm, address=visitor.url)))
        visit.wanted += ["status of 503", "net::ERR_"]
        visit.sign_in(ConsoleServer(farm=farm, address=visitor.url), visitor.token, f"/batches/{batch}")
        expect(visit.page.locator(".tile[data-state=succeeded]").first).to_be_visible()

        with load.running() as followers:
            wait_for(lambda: len(load.made) > WRITERS * 3, what="videos before the outage")
            again, said_s, recovered_s = outage(own_valkey, visit.page)
            stack.callback(again.stop)
            for number in range(2):
                restart(number)
                expect(visit.page.locator("#live")).to_have_attribute("data-state", "on")
            count = len(load.made)
            wait_for(lambda: len(load.made) > count + WRITERS, what="videos after it")
        (view,) = [farm.wait_done(name) for name in load.batches]
        expect(visit.page.locator(".found")).to_have_text(f"{view.total} clips")
        visitor("PUT", f"batches/{END}", {"rows": ["a fox"]})
        began = time.monotonic()
        for follower in followers:
            follower.join(60)
        behind_s = time.monotonic() - began
        check(farm, load, view.total)

    print(
        f"\nRedis away for {OUTAGE_S:g} s: the page says so after {said_s:.1f} s, and recovers in {recovered_s:.1f} s\n"
        f"{len(load.made)} videos asked for, {view.total} jobs, each made once; {load.broken['request']} requests and "
        f"{load.broken['stream']} streams broke and were tried again\n"
        f"{FOLLOWERS} followers: each of {len(load.seen[0])} events once, the last {behind_s:.1f} s after the end"
    )


def check(farm: Farm, load: Load, total: int) -> None:
    """Compare what clients were answered and sent with the ledger and the store."""
    events = list(all_events(farm, load.start))
    made = Counter(event.job_id for event in events if event.name == "job.finished")
    ids = sorted(load.made.values())
    assert len(set(ids)) == len(ids) == total
    assert {job.state for job in farm.ledger.jobs.find(ids)} == {JobState.SUCCEEDED}
    assert {job_id: made[job_id] for job_id in ids} == dict.fromkeys(ids, 1)
    for batch in load.batches:
        farm.assert_stored_once(batch, ids)
    wanted = [event.event_id for event in events]
    for seen in load.seen:
        assert len(set(seen)) == len(seen)
        assert [one for one in seen if one in set(wanted)] == wanted
    assert load.broken["gap"] == 0
    assert load.broken["stream"] >= FOLLOWERS // 2


def all_events(farm: Farm, after: str) -> Iterator[Event]:
    """Yield the events of the ledger's stream after one, up to the submit of the last batch."""
    while page := farm.ledger.events.read(after=after):
        for event in page:
            yield event
            if event.name == "batch.submitted" and event.batch == END:
                return
        after = page[-1].event_id
