"""The rows of a prompt file that passed their check, kept on disk until all have: a million need no memory."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reelmill_common.jobs import RenderSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRow:
    """A row that can be rendered.

    Attributes:
        key: Its distinct key: its id, or a hash of its content.
        names: The key that it gets in its batch, and the one for when another row has that; empty: `key` is its id.
        metadata: The values of its other columns.
    """

    key: str
    spec: RenderSpec
    names: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class RowSpool:
    """Rows by key, in file order, in a private temporary file that ends with the process.

    Specs are pickled, so that they are not checked again when they are read: that would cost as much as the first time.
    """

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute(
            "CREATE TABLE rows "
            "(place INTEGER PRIMARY KEY, id TEXT UNIQUE, line INTEGER, row BLOB, name TEXT, second TEXT)"
        )
        self._rows.execute("BEGIN")

    def add(self, row: KeyedRow, line: int) -> tuple[int, RenderSpec] | None:
        """Keep a row; if its key is taken, return line and spec of the row that has it instead."""
        pickled = pickle.dumps((row.spec, dict(row.metadata)), protocol=5)
        added = self._rows.execute(
            "INSERT OR IGNORE INTO rows (id, line, row, name, second) VALUES (?, ?, ?, ?, ?)",
            (row.key, line, pickled, *(row.names or (None, None))),
        )
        if added.rowcount:
            return None
        earlier, pickled = self._rows.execute("SELECT line, row FROM rows WHERE id = ?", (row.key,)).fetchone()
        return earlier, _unpickled(pickled)[0]

    def __iter__(self) -> Iterator[tuple[KeyedRow, str]]:
        """Yield rows, and the key that each has in this file.

        A name goes to the first row that has it, unless it is the id of another; the others get their second name.
        """
        self._rows.execute("CREATE INDEX IF NOT EXISTS names ON rows (name)")
        for key, pickled, name, second, is_taken in self._rows.execute(
            "SELECT id, row, name, second, "
            "EXISTS (SELECT 1 FROM rows AS other WHERE other.name = rows.name AND other.place < rows.place) "
            "OR EXISTS (SELECT 1 FROM rows AS other WHERE other.id = rows.name AND other.name IS NULL) "
            "FROM rows ORDER BY place"
        ):
            spec, metadata = _unpickled(pickled)
            names = () if name is None else (name, second)
            final = key if name is None else second if is_taken else name
            yield KeyedRow(key=key, spec=spec, names=names, metadata=metadata), final

    def close(self) -> None:
        """Remove the file."""
        self._rows.close()


def _unpickled(pickled: bytes) -> tuple[RenderSpec, dict[str, str]]:
    row: tuple[RenderSpec, dict[str, str]] = pickle.loads(pickled)  # noqa: S301 - only this process can have written it
    return row
