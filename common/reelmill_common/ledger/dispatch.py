"""Dispatch: what runs next, and what is taken back because no worker works on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reelmill_common.config.setting_values import FlowerPrompts
from reelmill_common.errors import InvalidDocument
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import base, views
from reelmill_common.ledger.base import TOUCH_MOST, LedgerPart, recall
from reelmill_common.ledger.records import Dispatch, Upcoming
from reelmill_common.ledger.retry_rules import RULES_JSON
from reelmill_common.text.untrusted_json import read_json

VANISHED_S = 60.0
"""Seconds after which the message of a dispatched job is taken for lost, and another is sent."""

MISSED_S = 3.0
"""Seconds after which a sent and unclaimed job's message is looked for in the broker. Being wrong costs one message."""
LOOK_APART_S = 2.0
"""Seconds between two such looks of the whole farm."""

MEND_APART_S = 2.5
"""Seconds between two looks of the whole farm for what stands nowhere because a key is missing."""
MEND_BATCHES = 5
"""Batches that one such look goes through: about 1 ms of the server's time."""
MEND_LEASE_S = 60.0
"""Lease of an attempt whose own is missing: its worker renews it, or it runs out."""

_LOOK_PAGE = 100  # jobs of one call: about 1 ms of the server's time
_PAGE = 200  # messages that are read at once: a quarter of a megabyte
GAPS_BATCHES = 3  # of one call: about 2 ms of the server's time
GAPS_MOST = 200  # jobs of each set of a batch that `gaps` looks at
_PUMP_MOST = 10  # jobs chosen by one call: about 1 ms of the server's time
_REAP_MOST = 1000  # jobs freed by one call of reap
_SWEEP_MOST = 1000  # jobs and batches touched by one call of sweep


class Dispatcher(LedgerPart):
    """Chooses what runs next, and takes back what no worker works on. Any process may call it at any time."""

    def pump(self, profile: str, *, depth: int = 2, prompts: FlowerPrompts = "cut") -> Sequence[Dispatch]:
        """Choose what the lanes of a profile run next, as late as possible, and mark it dispatched.

        Keeps `depth` jobs dispatched per live ready worker, also of one that serves several lanes. Strict priority,
        then fair share by weighted virtual time between owners and then between an owner's batches, first come first
        served within a batch. Paused batches and batches at their cap are passed over. A more urgent job is dispatched
        even when the depth is used up by less urgent ones. Nothing is dispatched while no worker of its lane is ready.

        `prompts` is what the labels show of them.
        """
        chosen: list[Dispatch] = []
        while True:
            answer = self._server.run("pump", profile, depth, base.LIVE_S, _PUMP_MOST)
            chosen += [
                Dispatch(
                    job_id=job_id,
                    generation=int(generation),
                    lane=lane,
                    priority=int(priority),
                    label=views.label(batch, spec, prompts=prompts),
                )
                for job_id, generation, priority, spec, batch, lane in answer
            ]
            if len(answer) < _PUMP_MOST:
                return chosen

    def upcoming(self, *lanes: str, count: int = 16, share: int | None = None) -> Upcoming:
        """Return what will probably be claimed next on a profile's lanes. Only looks: nothing is promised by it.

        The profile's workers share the jobs: with `share`, a number that the caller keeps, each `workers`-th job is the
        caller's, from place `share % workers` on. Without it only a worker that is alone has any. No jobs are listed
        for a caller that has none of them.
        """
        wanted = "" if share is None else share
        workers, specs = self._server.run("upcoming", ",".join(lanes), count, base.LIVE_S, wanted)
        return Upcoming(workers=workers, specs=[RenderSpec.from_json(spec) for spec in specs])

    def reap(self, *, forget_after_s: float = 0.0) -> int:
        """Take back expired leases and dispatched jobs whose message vanished; return how many jobs that freed.

        A worker that has been silent for `forget_after_s` (0: for ever) is forgotten, if no person has to look at it.
        """
        total = 0
        while total < _REAP_MOST:
            touched: int = self._server.run(
                "reap", VANISHED_S, base.LIVE_S, self._max_attempts, TOUCH_MOST, RULES_JSON, forget_after_s
            )
            total += touched
            if touched < TOUCH_MOST:
                break
        return total

    def recall(self) -> None:
        """Go on with taking back what batches had dispatched, where that takes several steps."""
        recall(self._server)

    def sweep(self) -> int:
        """Let batches run whose start has come, and end what expired unstarted; return how much that touched."""
        total = 0
        while total < _SWEEP_MOST:
            touched: int = self._server.run("sweep", TOUCH_MOST)
            total += touched
            if touched < TOUCH_MOST:
                break
        return total

    def mend(self) -> int:
        """Restore what is out of reach because a key is missing; return how many batches were looked at.

        The key was evicted, deleted by hand or lost with a broken file: an event reports it, and `gaps` finds it.
        """
        return int(self._server.run("mend", MEND_APART_S, MEND_BATCHES, int(MEND_LEASE_S * 1000)))

    def gaps(self) -> list[str]:
        """Return kind and name of keys that are missing, as `job ID`, now or when they were missed in the last week."""
        (total,) = self._server.read([("ZCARD", self._keys.batches)])
        pages = [(GAPS_MOST, start, start + GAPS_BATCHES - 1) for start in range(0, max(1, int(total)), GAPS_BATCHES)]
        return sorted({gap for page in self._server.run_pages("gaps", pages) for gap in page})

    def reconcile(self, *, queues: Callable[[str], Sequence[str]], unacked: str, depth: int = 2) -> int:
        """Take back dispatched jobs whose message is not in the broker, on all lanes; return how many.

        A message that a worker has fetched counts as there, unless a worker of the lane was lost since it was sent:
        then it may have been that worker's. Should it turn up after all it dies at claim.

        Args:
            queues: Returns the keys of a lane's lists of messages.
            unacked: Key of the hash of messages that workers have fetched.
            depth: Jobs that are sent to each worker at once.
        """
        lost_ms, jobs = self._adrift(depth)
        if not jobs:
            return 0
        # In this order: a message that is fetched meanwhile moves from the lists to the hash.
        waiting = self._messages_in(key for lane in lost_ms for key in queues(lane))
        held = {task_id(message) for message in self._server.values_of(unacked)}
        gone = [
            (job_id, int(generation))
            for job_id, generation, sent_ms, lane in jobs
            if (name := f"{job_id}.{generation}") not in waiting and (name not in held or int(sent_ms) <= lost_ms[lane])
        ]
        pages = [gone[start : start + TOUCH_MOST] for start in range(0, len(gone), TOUCH_MOST)]
        return sum(self._server.run("vanish", *(value for job in page for value in job)) for page in pages)

    def _adrift(self, depth: int) -> tuple[dict[str, int], list[tuple[str, str, str, str]]]:
        """Return when a worker of each lane was last lost, and the jobs whose messages have to be looked for."""
        lost_ms: dict[str, int] = {}
        found: list[tuple[str, str, str, str]] = []
        place = ""
        while True:
            lanes, jobs, place = self._server.run("adrift", MISSED_S, LOOK_APART_S, _LOOK_PAGE, depth, place)
            lost_ms.update({lane: int(at) for lane, at in lanes})
            found += jobs
            if not place:
                return lost_ms, found

    def _messages_in(self, queues: Iterable[str]) -> set[str]:
        """Return the task ids in some lists, read in pages: what is pushed meanwhile moves the others on, not away."""
        names = list(queues)
        lengths = self._server.read([("LLEN", key) for key in names])
        found: set[str] = set()
        for key, length in zip(names, lengths, strict=True):
            for start in range(0, length, _PAGE):
                (page,) = self._server.read([("LRANGE", key, start, start + _PAGE - 1)])
                found.update(task_id(message) for message in page)
        return found

    def messages(self, queues: Sequence[str]) -> int:
        """Return how many messages wait in the broker's lists."""
        return sum(self._server.read([("LLEN", key) for key in queues]))


def task_id(text: str) -> str:
    """Return the task id that a message in the broker carries: job and generation, see `broker.send`.

    Empty for any other content: any program with access to the broker may leave anything there.
    """
    try:
        message: Any = read_json(text, "a message in the broker")
        if isinstance(message, list):  # the form of a message that was fetched
            message = message[0]
        return str(message["headers"]["id"])
    except (InvalidDocument, LookupError, TypeError):
        return ""
