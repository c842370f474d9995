"""Logs of attempts: the last lines of each one under way, stored beside the clips when it ends.

The lines of a killed process are lost; the ledger's events show such an attempt all the same.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote

import structlog
from structlog.contextvars import get_contextvars

from reelmill_common.config.setting_values import KeepLogs
from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Claimed
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import log_key

MOST_LINES = 200
MOST_BYTES = 32_000
MOST_CHARS = 4000
"""Longest value; its end is kept, since the end of a traceback says what happened."""
WAITING = 64
"""Logs that may wait for the store; a further one is dropped, since no render waits for a log."""
CLOSE_S = 5.0
HIDDEN = "(hidden)"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Tail:
    lines: deque[bytes] = field(default_factory=deque[bytes])
    size_bytes: int = 0

    def add(self, line: bytes) -> None:
        self.lines.append(line)
        self.size_bytes += len(line)
        while len(self.lines) > MOST_LINES or self.size_bytes > MOST_BYTES:
            self.size_bytes -= len(self.lines.popleft())


class AttemptLogs(logging.Handler):
    """A log handler that tells attempts apart by what is bound to the context, and a thread that stores their lines.

    It takes our events from info on and other libraries' warnings. These may hold no prompts and no secrets, and the
    settings' secrets are removed from them all the same.
    """

    def __init__(
        self, store: ClipStore | None = None, *, keep: KeepLogs = "off", secrets: Collection[str] = ()
    ) -> None:
        """Keep nothing until `start`, and nothing at all without a store."""
        super().__init__(logging.INFO)
        self._store = store
        self._keep: KeepLogs = keep if store is not None else "off"
        self._secrets = secrets
        self._tails: dict[tuple[str, int], _Tail] = {}
        self._ended: queue.Queue[tuple[str, bytes] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="attempt-logs", daemon=True)

    @classmethod
    def of(cls, settings: Settings, store: ClipStore) -> AttemptLogs:
        """Return the logs that the settings ask for."""
        return cls(store, keep=settings.keep_logs, secrets=_secrets(settings))

    def start(self) -> None:
        """Begin to listen and to store; do nothing where nothing is kept."""
        if self._keep != "off":
            logging.getLogger().addHandler(self)
            self._thread.start()

    def stop(self) -> None:
        """Stop listening, and store what has ended, if that is quick."""
        logging.getLogger().removeHandler(self)
        if self._thread.is_alive():
            self._offer(None)
            self._thread.join(CLOSE_S)

    def begin(self, claimed: Claimed) -> None:
        """Keep the lines of an attempt from now on."""
        if self._keep != "off":
            self._tails[claimed.job_id, claimed.attempt] = _Tail()

    def end(self, claimed: Claimed, *, failed: bool) -> None:
        """Store what was kept of an attempt, or forget it; returns at once."""
        tail = self._tails.pop((claimed.job_id, claimed.attempt), None)
        if tail is None or not tail.lines or not (failed or self._keep == "all"):
            return
        self._offer((log_key(claimed.batch, claimed.row, attempt=claimed.attempt), b"".join(tail.lines)))

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, if it belongs to an attempt."""
        event = _event(record)
        attempt = event.get("attempt", 0)
        tail = self._tails.get((str(event.get("job_id", "")), attempt if isinstance(attempt, int) else 0))
        if tail is None or (record.levelno < logging.WARNING and not record.name.startswith("reelmill_")):
            return
        text = json.dumps({name: _cut(value) for name, value in event.items()}, ensure_ascii=False, default=str)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        tail.add(text.encode("utf-8", "replace") + b"\n")

    def _offer(self, item: tuple[str, bytes] | None) -> None:
        try:
            self._ended.put_nowait(item)
        except queue.Full:
            log.debug("attempt_log.dropped")

    def _work(self) -> None:
        while (item := self._ended.get()) is not None:
            key, content = item
            try:
                if self._store is not None:
                    self._store.put(key, content, content_type="application/x-ndjson", replace=True)
            except ReelmillError as err:
                log.debug("attempt_log.lost", key=key, code=err.code)
            except Exception:
                log.exception("attempt_log.bug")


def _event(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return a record as an event: ours are one already, a library's is its message and the bound context."""
    if isinstance(record.msg, dict):
        event = structlog.processors.format_exc_info(None, "", dict(cast("Mapping[str, Any]", record.msg)))
        return {name: value for name, value in event.items() if name != "exc_info"}
    when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    message = {"event": record.getMessage(), "logger": record.name, "level": record.levelname.lower()}
    return {**get_contextvars(), **message, "timestamp": when}


def _cut(value: object) -> object:
    return f"…{value[-MOST_CHARS:]}" if isinstance(value, str) and len(value) > MOST_CHARS else value


def _secrets(settings: Settings) -> list[str]:
    """Return what no log may show, as it is written in URLs and as it is sent."""
    of_sentinels = settings.redis_url.partition("sentinel_password=")[2].partition("&")[0]
    written = [of_sentinels, *(_password(url) for url in (settings.redis_url, settings.smtp_url))]
    plain = {*written, *map(unquote, written), settings.metrics_token}
    # And as JSON writes them, with quotes and backslashes escaped.
    return [secret for secret in {*plain, *(json.dumps(text, ensure_ascii=False)[1:-1] for text in plain)} if secret]


def _password(url: str) -> str:
    """Return a URL's password as it is written, even where the URL is not a valid one."""
    return url.partition("://")[2].rpartition("@")[0].partition(":")[2]
