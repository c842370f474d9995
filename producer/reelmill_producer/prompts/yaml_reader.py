"""YAML prompt files: jobs one by one from a stream of events, every value as the text that is written.

Nothing is constructed from YAML: no tag and no alias is followed, and `no`, `1e3` or `2026-01-02` stay text. So a file
can neither run code nor grow in memory, and means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

import yaml

from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_producer.prompts.columns import ColumnReading
from reelmill_producer.prompts.grids import DEFAULTS, JOB_FIELDS, Allowance, expanded
from reelmill_producer.prompts.lines import BadLine
from reelmill_producer.prompts.policy_options import FileHeader, head_of
from reelmill_producer.prompts.rows import Row, unknown_names

MAX_BYTES = 8_388_608
"""A grid of a few lines makes a million rows; a file that writes each of them out is better written as JSONL."""
MAX_VALUES = 20_000
"""Keys, values and lists of one job, which is in memory as a whole."""
MOST_OPEN = 10_000
"""Levels at which a whole file is refused, after a quarter of a second; at `MAX_DEPTH` only the job is."""
MAX_DEPTH = 4
"""A job's `vars` holds lists of values: depth 3."""

_TOP = ("batch", "defaults", "jobs")
_SHAPE = "a prompt file is a list of jobs, or a mapping with jobs: and, before it, batch: and defaults:"


def yaml_rows(stream: IO[bytes], reading: ColumnReading) -> Iterator[Row | BadLine | FileHeader]:
    """Yield the rows of a YAML stream, grids expanded; at most one job is in memory. Its head is yielded too.

    Raises:
        InvalidPromptFile: It is not a prompt file: another shape, a wrong head or defaults, or too large.
    """
    allowance = Allowance()
    jobs = _Jobs(events=_Events(stream), reading=reading)
    try:
        for number, line, value in jobs.read():
            if jobs.head is not None:
                yield jobs.head
                jobs.head = None
            yield from expanded(number, line, value, jobs.defaults, allowance, reading)
    except yaml.YAMLError as err:
        yield BadLine(line=_line_of(err, jobs.events.line), reason=f"{jobs.place}{_why(err)}")
    except (ValueError, OverflowError) as err:  # an escape such as \U00110000, in PyYAML's own scanner
        if isinstance(err, InvalidPromptFile):
            raise
        yield BadLine(line=jobs.events.line, reason=f"{jobs.place}not YAML ({str(err)[:120]}); correct it")


class _Bounded:
    """A stream that refuses to be longer than a prompt file may be."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, MAX_BYTES

    def read(self, size: int = 65_536) -> bytes:
        data = self._stream.read(size if size > 0 else 65_536)
        self._left -= len(data)
        if self._left < 0:
            raise InvalidPromptFile(f"the file has more than {MAX_BYTES:,} bytes; use a grid, or write it as .jsonl")
        return data


class _Events:
    """The parser's events, with one of look-ahead."""

    def __init__(self, stream: IO[bytes]) -> None:
        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        self._events: Iterator[Any] = iter(yaml.parse(_Bounded(stream), Loader=loader))
        self._next: Any = None
        self.line, self.open = 1, 0

    def peek(self) -> Any:
        if self._next is None:
            self._next = next(self._events)
        return self._next

    def take(self) -> Any:
        event = self.peek()
        self._next = None
        self.line = event.start_mark.line + 1
        self.open += isinstance(event, yaml.CollectionStartEvent)
        if self.open > MOST_OPEN:  # to read on would take hours: the parser looks at every open level for every sign
            raise InvalidPromptFile(f"line {self.line}: nested more than {MOST_OPEN} deep; this is not a prompt file")
        self.open -= isinstance(event, yaml.CollectionEndEvent)
        return event

    def skip_to(self, level: int) -> None:
        """Read on, keeping nothing, until only so many collections are open."""
        while self.open > level:
            self.take()


class _Flaw(Exception):
    """What is wrong with a value; the rest of the value is not read yet."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


@dataclass(slots=True, kw_only=True)
class _Jobs:
    """The jobs of a file, read one after the other."""

    events: _Events
    reading: ColumnReading
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    head: FileHeader | None = None
    number: int = 0

    @property
    def place(self) -> str:
        """The place, for a message."""
        return f"job {self.number}: " if self.number else ""

    def read(self) -> Iterator[tuple[int, int, Mapping[str, object] | BadLine]]:
        """Yield number, line and content of every job."""
        self.events.take()  # the stream's start
        if isinstance(self.events.peek(), yaml.StreamEndEvent):
            return
        self.events.take()
        root = self.events.take()
        if isinstance(root, yaml.SequenceStartEvent):
            yield from self._list()
        elif isinstance(root, yaml.MappingStartEvent):
            yield from self._mapping()
        elif not (isinstance(root, yaml.ScalarEvent) and root.value == ""):
            raise InvalidPromptFile(f"line {self.events.line}: {_SHAPE}, got {_kind(root)}")
        self.number = 0
        self.events.take()
        if not isinstance(self.events.peek(), yaml.StreamEndEvent):
            raise InvalidPromptFile(f"line {self.events.line}: a second document begins after '---'; {_SHAPE}")

    def _list(self) -> Iterator[tuple[int, int, Mapping[str, object] | BadLine]]:
        while not isinstance(self.events.peek(), yaml.SequenceEndEvent):
            self.number += 1
            level, event = self.events.open, self.events.take()
            line = self.events.line
            found: Mapping[str, object] | BadLine
            try:
                found = self._job(event, line)
            except _Flaw as flaw:
                self.events.skip_to(level)
                found = BadLine(line=flaw.line, reason=f"job {self.number}: {flaw.reason}")
            yield self.number, line, found
        self.events.take()

    def _job(self, event: Any, line: int) -> Mapping[str, object]:
        value = _Values(self.events).read(event)
        if not isinstance(value, dict):
            raise _Flaw(line, f"a job is a mapping such as {{prompt: a fox}}, got {_kind(event)}")
        return value

    def _mapping(self) -> Iterator[tuple[int, int, Mapping[str, object] | BadLine]]:
        seen: list[str] = []
        while not isinstance(self.events.peek(), yaml.MappingEndEvent):
            event = self.events.take()
            name = event.value if isinstance(event, yaml.ScalarEvent) else _kind(event)
            line = self.events.line
            if name not in _TOP or name in seen:
                twice = f"{name} given twice" if name in seen else f"unknown key {name[:40]!r}"
                raise InvalidPromptFile(f"line {line}: {twice}; {_SHAPE}")
            if "jobs" in seen:
                raise InvalidPromptFile(f"line {line}: {name} stands after the jobs; put it before them")
            seen.append(name)
            start = self.events.take()
            if name == "defaults":
                self.defaults = self._defaults(start)
            elif name == "batch":
                self.head = self._head(line, start)
            elif isinstance(start, yaml.SequenceStartEvent):
                yield from self._list()
            else:
                raise InvalidPromptFile(f"line {self.events.line}: jobs is a list of jobs, got {_kind(start)}")
        self.events.take()
        if "jobs" not in seen:
            raise InvalidPromptFile(f"line {self.events.line}: it has no `jobs:`; {_SHAPE}")

    def _head(self, line: int, start: Any) -> FileHeader:
        if not isinstance(start, yaml.MappingStartEvent):
            raise InvalidPromptFile(
                f"line {self.events.line}: batch is a mapping such as {{priority: 7}}, got {_kind(start)}"
            )
        values = _Values(self.events)
        try:
            values.check(start, 1)
            entries = values.entries(2)
        except _Flaw as flaw:
            raise InvalidPromptFile(f"line {flaw.line}: batch: {flaw.reason}") from flaw
        return head_of(line, entries, datetime.now().astimezone())

    def _defaults(self, start: Any) -> Mapping[str, object]:
        line = self.events.line
        try:
            value = _Values(self.events).read(start)
        except _Flaw as flaw:
            raise InvalidPromptFile(f"line {flaw.line}: defaults: {flaw.reason}") from flaw
        if not isinstance(value, dict):
            raise InvalidPromptFile(f"line {line}: defaults is a mapping of fields, got {_kind(start)}")
        try:
            given, others = self.reading.columns_of([name for name in value if name not in DEFAULTS], "field").split(
                value
            )
        except InvalidJob as err:
            raise InvalidPromptFile(f"line {line}: defaults: {err}") from err
        if unknown := unknown_names([*others, *given.keys() - set(DEFAULTS)], DEFAULTS):
            raise InvalidPromptFile(f"line {line}: defaults: unknown field {unknown}")
        return {name: item for name, item in value.items() if name in DEFAULTS} | given


class _Values:
    """Reads the values of one job, whose size and depth it bounds."""

    def __init__(self, events: _Events) -> None:
        self._events, self._count = events, 0

    def read(self, event: Any, depth: int = 1) -> object:
        """Return the value that an event begins, as text, a list or a dict; raise `_Flaw` at what no job may hold."""
        self._count += 1
        self.check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            plain_null = event.style is None and event.value in ("", "~", "null", "Null", "NULL")
            return None if plain_null else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[object] = []
            while not isinstance(self._events.peek(), yaml.SequenceEndEvent):
                items.append(self.read(self._events.take(), depth + 1))
            self._events.take()
            return items
        return {name: item for name, (_, item) in self.entries(depth + 1).items()}

    def entries(self, depth: int) -> dict[str, tuple[int, object]]:
        """Return line and value of each key of a mapping that has begun."""
        found: dict[str, tuple[int, object]] = {}
        while not isinstance(self._events.peek(), yaml.MappingEndEvent):
            key = self._events.take()
            name, line = self.read(key, depth), self._events.line
            if not isinstance(name, str):
                raise _Flaw(line, f"a key is a word, got {_kind(key)}")
            if name in found:
                raise _Flaw(line, f"{name[:40]} given twice; give each field once")
            found[name] = (line, self.read(self._events.take(), depth))
        self._events.take()
        return found

    def check(self, event: Any, depth: int) -> None:
        """Raise `_Flaw` unless an event may begin a value."""
        if reason := self._refusal(event, depth):
            raise _Flaw(self._events.line, reason)

    def _refusal(self, event: Any, depth: int) -> str:
        if isinstance(event, yaml.AliasEvent):
            return (
                f"the alias *{str(event.anchor)[:40]} is not followed; write the value out, or put it under defaults:"
            )
        if event.anchor is not None:
            return f"the anchor &{str(event.anchor)[:40]} is not read; write values out, or put them under defaults:"
        if event.tag is not None:
            return f"the tag {event.tag[:40]} is not read; write plain text, lists and mappings"
        if depth > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} deep; a job is a mapping of {', '.join(JOB_FIELDS)}"
        if self._count > MAX_VALUES:
            return f"it holds more than {MAX_VALUES:,} values; divide it into several jobs"
        return ""


def _kind(event: Any) -> str:
    if isinstance(event, yaml.ScalarEvent):
        return f"the text {event.value[:40]!r}" if event.value else "nothing"
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{str(event.anchor)[:40]}"
    return "a list" if isinstance(event, yaml.SequenceStartEvent) else "a mapping"


def _line_of(err: yaml.YAMLError, line: int) -> int:
    mark = getattr(err, "problem_mark", None)
    return line if mark is None else mark.line + 1


def _why(err: yaml.YAMLError) -> str:
    if isinstance(err, yaml.reader.ReaderError):
        return f"not text ({str(err.reason)[:120]}); save the file as UTF-8. What follows was not read"
    problem = getattr(err, "problem", None) or str(err)
    return (
        f"not YAML ({str(problem)[:120]}); put text that holds ': ', ' #' or begins with a sign into quotes. "
        "What follows was not read"
    )
