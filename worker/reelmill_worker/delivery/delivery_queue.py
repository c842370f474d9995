"""Deliveries in flight: clips that are muxed and uploaded while the next one renders."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from reelmill_common.errors import NotSigned, StoreRefused, StoreUnavailable
from reelmill_worker.delivery.clip_files import PendingClip
from reelmill_worker.delivery.publisher import ClipPublisher
from reelmill_worker.ipc.counters import LoadTime

log = structlog.get_logger(__name__)

NICE = 10
"""Nice value of the delivery threads, so that the rendering thread goes first (`man 7 sched`: 0 to 19)."""
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 15.0


@dataclass(slots=True, kw_only=True)
class DeliveryQueue:
    """Threads that encode and upload clips, so that the renderer can go on.

    At most `limit` clips are under way. While the store is down, finished clips are parked on disk instead, up to
    `spool_bytes`, and their leases are kept, so an outage costs no rendering twice. While it refuses requests, nothing
    more is claimed: an operator has to act, and other workers may be better off. When no clip is left to try the store
    with (each was cancelled or lost), one is claimed. A clip that the store has taken but does not show yet is set
    aside, also on disk, and delays no other.

    Attributes:
        on_store_error: Called with the store's error when it begins or changes, and with `""` when it is over.
    """

    publisher: ClipPublisher
    limit: int
    spool_bytes: int
    on_store_error: Callable[[str], None] = lambda _text: None
    _fresh: deque[PendingClip] = field(default_factory=deque[PendingClip])
    _parked: deque[PendingClip] = field(default_factory=deque[PendingClip])
    _unseen: list[PendingClip] = field(default_factory=list[PendingClip])
    _under_way: int = 0
    _store_error: StoreUnavailable | StoreRefused | None = None
    _retry_s: float = FIRST_RETRY_S
    _retry_at: float = 0.0
    _closing: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self) -> None:
        """Start the threads."""
        for index in range(self.limit):
            thread = threading.Thread(target=self._work, name=f"delivery-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def hand_over(self, clip: PendingClip) -> None:
        """Queue a finished render and return at once. Call `wait_for_room` before the render is begun."""
        with self._changed:
            self._fresh.append(clip)
            self._changed.notify_all()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until one more clip may be begun; False when none could within the time."""
        with self._changed:
            return self._changed.wait_for(self._has_room, timeout=timeout_s)

    def load(self) -> LoadTime:
        """Return what is under way."""
        with self._changed:
            return LoadTime(
                deliveries=self._in_flight(), spool_bytes=self._spooled_bytes(), store_up=self._store_error is None
            )

    def close(self, timeout_s: float) -> int:
        """Finish what is under way, give back the clips that cannot be stored in time, and return their number."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._in_flight(), timeout=timeout_s)
            left = [*self._fresh, *self._parked, *self._unseen]
            for waiting in (self._fresh, self._parked, self._unseen):
                waiting.clear()
            self._changed.notify_all()
        for clip in left:
            self.publisher.give_up(clip)
        return len(left)

    def _has_room(self) -> bool:
        if isinstance(self._store_error, StoreRefused) and (self._in_flight() or not self._is_worth_trying()):
            return False
        return len(self._fresh) + self._under_way < self.limit and self._spooled_bytes() < self.spool_bytes

    def _spooled_bytes(self) -> int:
        return sum(clip.size_bytes for clip in (*self._parked, *self._unseen))

    def _in_flight(self) -> int:
        return len(self._fresh) + len(self._parked) + len(self._unseen) + self._under_way

    def _work(self) -> None:
        # Linux has a nice value per thread, and the encoder's own threads inherit it: what feeds the GPU goes first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while (clip := self._take_next()) is not None:
            try:
                self._deliver(clip)
            except (StoreUnavailable, StoreRefused) as err:
                self.publisher.leases.counters.store_failed(err.code)
                self._park_after(err, clip)
            except Exception:  # a thread's boundary: the next clip must find a thread that delivers it
                log.exception("delivery.failed", job_id=clip.lease.claimed.job_id)
                self.publisher.abandon(clip)
                self._end_delivery(stored=False)

    def _deliver(self, clip: PendingClip) -> None:
        """Take a clip as far as it goes now: it is delivered, its attempt has ended, or it waits in a line again.

        Raises:
            StoreUnavailable, StoreRefused: The store did not take it, or it cannot be signed and has to be.
        """
        if not self.publisher.write_files(clip):
            self._end_delivery(stored=False)
        elif not self._is_worth_trying():
            self._let_wait(clip, self._parked)
        elif not (stored := self.publisher.publish(clip)) and clip.uploaded and clip.uploaded.look_at:
            self._let_wait(clip, self._unseen)
        else:
            self._end_delivery(stored=stored)

    def _take_next(self) -> PendingClip | None:
        """Wait for a clip that can go on, and count it as under way; None when all are delivered and we close."""
        with self._changed:
            while True:
                if self._closing and not self._in_flight():
                    return None
                if (unseen := self._due()) is not None:  # first, since a look costs next to nothing
                    self._unseen.remove(unseen)
                    self._under_way += 1
                    return unseen
                if self._fresh:
                    self._under_way += 1
                    return self._fresh.popleft()
                # One at a time tries a store that fails; the other threads are free to mux what is rendered meanwhile.
                if self._parked and self._is_worth_trying() and not (self._store_error and self._under_way):
                    self._under_way += 1
                    return self._parked.popleft()
                self._changed.wait(self._pause_s())

    def _due(self) -> PendingClip | None:
        """Return a clip whose next look at the store is due."""
        now = time.monotonic()
        return next((item for item in self._unseen if item.uploaded and item.uploaded.look_at <= now), None)

    def _pause_s(self) -> float | None:
        """Return the seconds until a clip is due again; None if none will be."""
        due = [item.uploaded.look_at for item in self._unseen if item.uploaded]
        due += [self._retry_at] if self._parked else []
        return max(0.01, min(due) - time.monotonic()) if due else None

    def _let_wait(self, clip: PendingClip, line: deque[PendingClip] | list[PendingClip]) -> None:
        """Put a clip that was under way into a line: `_parked`, or `_unseen` when it is stored and not shown."""
        with self._changed:
            line.append(clip)
            self._under_way -= 1
            self._changed.notify_all()

    def _is_worth_trying(self) -> bool:
        return self._store_error is None or time.monotonic() >= self._retry_at

    def _end_delivery(self, *, stored: bool) -> None:
        """Count a clip as no longer under way; one that was stored shows that the store works."""
        with self._changed:
            before = self._store_error
            if stored:
                self._store_error, self._retry_s = None, FIRST_RETRY_S
            self._under_way -= 1
            self._changed.notify_all()
        if stored and before is not None:
            self._report(None)

    def _park_after(self, error: StoreUnavailable | StoreRefused, clip: PendingClip) -> None:
        """Park a clip that the store did not take, and try the store again after twice the pause."""
        with self._changed:
            before = self._store_error
            self._store_error = error
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
            self._let_wait(clip, self._parked)
        if str(before or "") != str(error):
            self._report(error)

    def _report(self, error: StoreUnavailable | StoreRefused | None) -> None:
        if error is None:
            log.info("store.returned")
        else:
            event = "store.refused" if isinstance(error, StoreRefused) else "store.lost"
            log.error("clip.not_signed" if isinstance(error, NotSigned) else event, error=str(error))
        try:
            where = "marks" if isinstance(error, NotSigned) else "store"
            self.on_store_error("" if error is None else f"{where}: {error}")
        except Exception:  # as in `_work`
            log.exception("trouble.not_told")
