"""The rows of a prompt file that passed their check, kept on disk until all of them have: a million need no memory."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator

from reelmill_common.jobs import RenderSpec


class RowSpool:
    """Rows by key, in file order, in a private temporary file that is gone with the process.

    Specs are pickled: they come back without being checked a second time, which would cost as much as the first.
    """

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE rows (place INTEGER PRIMARY KEY, id TEXT UNIQUE, line INTEGER, spec BLOB)")
        self._rows.execute("BEGIN")

    def add(self, key: str, spec: RenderSpec, line: int) -> tuple[int, RenderSpec] | None:
        """Keep a row; if its key is taken, keep nothing and return line and spec of the row that has it."""
        added = self._rows.execute(
            "INSERT OR IGNORE INTO rows (id, line, spec) VALUES (?, ?, ?)", (key, line, pickle.dumps(spec, protocol=5))
        )
        if added.rowcount:
            return None
        earlier, pickled = self._rows.execute("SELECT line, spec FROM rows WHERE id = ?", (key,)).fetchone()
        return earlier, _unpickled(pickled)

    def __iter__(self) -> Iterator[tuple[str, RenderSpec]]:
        for key, pickled in self._rows.execute("SELECT id, spec FROM rows ORDER BY place"):
            yield key, _unpickled(pickled)

    def close(self) -> None:
        """Remove the file."""
        self._rows.close()


def _unpickled(pickled: bytes) -> RenderSpec:
    spec: RenderSpec = pickle.loads(pickled)  # noqa: S301 - nobody else can have written it
    return spec
