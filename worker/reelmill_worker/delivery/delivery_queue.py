"""Deliveries in flight: clips that are muxed and uploaded while the next one renders."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from reelmill_common.errors import StoreRefused, StoreUnavailable
from reelmill_worker.delivery.clip_files import PendingClip
from reelmill_worker.delivery.publisher import ClipPublisher
from reelmill_worker.ipc.counters import LoadTime

log = structlog.get_logger(__name__)

NICE = 10
"""How much the delivery threads stand back from the thread that renders (`man 7 sched`: 0 to 19)."""
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 15.0


@dataclass(slots=True, kw_only=True)
class DeliveryQueue:
    """Threads that bring clips to the store; the renderer hands over and goes on.

    At most `limit` clips are under way. While the store is down, finished clips are parked on disk instead, up to
    `spool_bytes`, and their leases are kept, so an outage costs no rendering twice. While it refuses us nothing more
    is claimed, since waiting alone does not help: somebody must act, and other workers may be better off. Where no clip
    is left to ask the store with (each was cancelled or lost), one is claimed. A clip that the store has taken and does
    not show yet is set aside, on disk too, and holds up nobody.

    Attributes:
        on_trouble: Told the store's trouble when it begins or changes, and `""` when it is over.
    """

    courier: ClipPublisher
    limit: int
    spool_bytes: int
    on_trouble: Callable[[str], None] = lambda _text: None
    _fresh: deque[PendingClip] = field(default_factory=deque[PendingClip])
    _parked: deque[PendingClip] = field(default_factory=deque[PendingClip])
    _unseen: list[PendingClip] = field(default_factory=list[PendingClip])
    _under_way: int = 0
    _trouble: StoreUnavailable | StoreRefused | None = None
    _retry_s: float = FIRST_RETRY_S
    _retry_at: float = 0.0
    _closing: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self) -> None:
        """Begin to work on what is handed over."""
        for index in range(self.limit):
            thread = threading.Thread(target=self._work, name=f"delivery-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def hand_over(self, parcel: PendingClip) -> None:
        """Take a finished render; returns at once. Ask for room before the render is begun."""
        with self._changed:
            self._fresh.append(parcel)
            self._changed.notify_all()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until one more clip may be begun; False when none could within the time."""
        with self._changed:
            return self._changed.wait_for(self._has_room, timeout=timeout_s)

    def load(self) -> LoadTime:
        """Return what is under way."""
        with self._changed:
            return LoadTime(
                deliveries=self._in_flight(), spool_bytes=self._spooled_bytes(), store_up=self._trouble is None
            )

    def close(self, timeout_s: float) -> int:
        """Finish what is under way, give up what cannot be stored in time, and return how many that were."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._in_flight(), timeout=timeout_s)
            left = [*self._fresh, *self._parked, *self._unseen]
            for waiting in (self._fresh, self._parked, self._unseen):
                waiting.clear()
            self._changed.notify_all()
        for parcel in left:
            self.courier.give_up(parcel)
        return len(left)

    def _has_room(self) -> bool:
        if isinstance(self._trouble, StoreRefused) and (self._in_flight() or not self._is_worth_trying()):
            return False
        return len(self._fresh) + self._under_way < self.limit and self._spooled_bytes() < self.spool_bytes

    def _spooled_bytes(self) -> int:
        return sum(parcel.size_bytes for parcel in (*self._parked, *self._unseen))

    def _in_flight(self) -> int:
        return len(self._fresh) + len(self._parked) + len(self._unseen) + self._under_way

    def _work(self) -> None:
        # Linux has a nice value per thread, and the encoder's own threads inherit it: what feeds the GPU goes first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            parcel = self._next()
            if parcel is None:
                return
            try:
                if not self.courier.pack(parcel):
                    self._end(stored=False)
                elif not self._is_worth_trying():
                    self._park(parcel, None)
                elif not (stored := self.courier.ship(parcel)) and parcel.uploaded and parcel.uploaded.look_at:
                    self._set_aside(parcel)
                else:
                    self._end(stored=stored)
            except (StoreUnavailable, StoreRefused) as err:
                self.courier.leases.counters.store_failed(err.code)
                self._park(parcel, err)
            except Exception:  # a thread's boundary: the next clip must find a thread that delivers it
                log.exception("delivery.failed", job_id=parcel.lease.claimed.job_id)
                self.courier.abandon(parcel)
                self._end(stored=False)

    def _next(self) -> PendingClip | None:
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
                # One at a time asks a store in trouble; the other threads are free to mux what is rendered meanwhile.
                if self._parked and self._is_worth_trying() and not (self._trouble and self._under_way):
                    self._under_way += 1
                    return self._parked.popleft()
                self._changed.wait(self._pause_s())

    def _due(self) -> PendingClip | None:
        """Return a clip at which it is time to look again whether the store shows it."""
        now = time.monotonic()
        return next((item for item in self._unseen if item.uploaded and item.uploaded.look_at <= now), None)

    def _pause_s(self) -> float | None:
        """Return how long there is nothing to do unless something changes; None: for ever."""
        moments = [item.uploaded.look_at for item in self._unseen if item.uploaded]
        moments += [self._retry_at] if self._parked else []
        return max(0.01, min(moments) - time.monotonic()) if moments else None

    def _set_aside(self, parcel: PendingClip) -> None:
        with self._changed:
            self._unseen.append(parcel)
            self._under_way -= 1
            self._changed.notify_all()

    def _is_worth_trying(self) -> bool:
        return self._trouble is None or time.monotonic() >= self._retry_at

    def _end(self, *, stored: bool) -> None:
        with self._changed:
            before = self._trouble
            if stored:
                self._trouble, self._retry_s = None, FIRST_RETRY_S
            self._under_way -= 1
            self._changed.notify_all()
        if stored and before is not None:
            self._tell(None)

    def _park(self, parcel: PendingClip, trouble: StoreUnavailable | StoreRefused | None) -> None:
        with self._changed:
            before = self._trouble
            self._parked.append(parcel)
            self._under_way -= 1
            if trouble is not None:
                self._trouble = trouble
                self._retry_at = time.monotonic() + self._retry_s
                self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
            self._changed.notify_all()
        if trouble is not None and str(before or "") != str(trouble):
            self._tell(trouble)

    def _tell(self, trouble: StoreUnavailable | StoreRefused | None) -> None:
        if trouble is None:
            log.info("store.returned")
        else:
            log.error("store.refused" if isinstance(trouble, StoreRefused) else "store.lost", error=str(trouble))
        try:
            self.on_trouble("" if trouble is None else f"store: {trouble}")
        except Exception:  # as in `_work`
            log.exception("trouble.not_told")
