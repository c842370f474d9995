"""YAML prompt files: jobs one by one out of a stream of events, every value the text that is written.

Nothing is constructed from YAML: no tag and no alias is followed, and `no`, `1e3` or `2026-01-02` stay text. So a file
can neither run code nor grow in memory, and means the same to everybody.
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
"""A million rows come from a grid of a few lines; who writes each of them out is better served by JSONL."""
MAX_VALUES = 20_000
"""Keys, values and lists of one job, which is in memory as a whole."""
MOST_OPEN = 10_000
"""Levels at which a file is given up as a whole, after a quarter of a second; at `MAX_DEPTH` only the job is."""
MAX_DEPTH = 4
"""A job's `vars` holds lists of values: depth 3."""

_TOP = ("batch", "defaults", "jobs")
_SHAPE = "a prompt file is a list of jobs, or a mapping with jobs: and, before it, batch: and defaults:"


def yaml_rows(stream: IO[bytes], reading: ColumnReading) -> Iterator[Row | BadLine | FileHeader]:
    """Yield the rows of a YAML stream, grids expanded; at most one job is in memory. Its head is yielded too.

    Raises:
        InvalidPromptFile: It is no prompt file at all: another shape, a wrong head or defaults, or too large.
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
    """The parser's events, with one to look ahead at."""

    def __init__(self, stream: IO[bytes]) -> None:
        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        self._events: Iterator[Any] = iter(yaml.parse(_Bounded(stream), Loader=loader))
        self._next: Any = None
        self.line = 1

    def peek(self) -> Any:
        if self._next is None:
            self._next = next(self._events)
        return self._next

    def take(self) -> Any:
        event = self.peek()
        self._next = None
        self.line = event.start_mark.line + 1
        return event


@dataclass(slots=True, kw_only=True)
class _Flaw:
    """The first thing that is wrong with a value, which is read to its end all the same."""

    line: int = 0
    reason: str = ""

    def note(self, line: int, reason: str) -> None:
        if not self.reason:
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
        """Where we are, for a message."""
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
            flaw = _Flaw()
            event = self.events.take()
            line = self.events.line
            value = _value(self.events, event, flaw, _Count())
            if flaw.reason:
                yield self.number, line, BadLine(line=flaw.line, reason=f"job {self.number}: {flaw.reason}")
            elif not isinstance(value, dict):
                reason = f"a job is a mapping such as {{prompt: a fox}}, got {_kind(event)}"
                yield self.number, line, BadLine(line=line, reason=f"job {self.number}: {reason}")
            else:
                yield self.number, line, value
        self.events.take()

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
            raise InvalidPromptFile(f"line {self.events.line}: there is no jobs: in it; {_SHAPE}")

    def _head(self, line: int, start: Any) -> FileHeader:
        if not isinstance(start, yaml.MappingStartEvent):
            raise InvalidPromptFile(
                f"line {self.events.line}: batch is a mapping such as {{priority: 7}}, got {_kind(start)}"
            )
        if reason := _refusal(start, _Count(), 1):
            raise InvalidPromptFile(f"line {self.events.line}: batch: {reason}")
        flaw = _Flaw()
        entries = _entries(self.events, flaw, _Count(), 2)
        if flaw.reason:
            raise InvalidPromptFile(f"line {flaw.line}: batch: {flaw.reason}")
        return head_of(line, entries, datetime.now().astimezone())

    def _defaults(self, start: Any) -> Mapping[str, object]:
        line, flaw = self.events.line, _Flaw()
        value = _value(self.events, start, flaw, _Count())
        if flaw.reason:
            raise InvalidPromptFile(f"line {flaw.line}: defaults: {flaw.reason}")
        if not isinstance(value, dict):
            raise InvalidPromptFile(f"line {line}: defaults is a mapping of fields, got {_kind(start)}")
        try:
            given, others = self.reading.columns_of([name for name in value if name not in DEFAULTS], "field").sorted(
                value
            )
        except InvalidJob as err:
            raise InvalidPromptFile(f"line {line}: defaults: {err}") from err
        if unknown := unknown_names([*others, *given.keys() - set(DEFAULTS)], DEFAULTS):
            raise InvalidPromptFile(f"line {line}: defaults: unknown field {unknown}")
        return {name: item for name, item in value.items() if name in DEFAULTS} | given


@dataclass(slots=True, kw_only=True)
class _Count:
    """Values of one job so far."""

    values: int = 0


def _value(events: _Events, event: Any, flaw: _Flaw, count: _Count, depth: int = 1) -> object:
    """Return a value as text, list or dict; when it has a flaw, only read it to its end."""
    count.values += 1
    if reason := _refusal(event, count, depth):
        flaw.note(events.line, reason)
        _skip(events, event)
        return None
    if isinstance(event, yaml.ScalarEvent):
        plain_null = event.style is None and event.value in ("", "~", "null", "Null", "NULL")
        return None if plain_null else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[object] = []
        while not isinstance(events.peek(), yaml.SequenceEndEvent):
            item = _value(events, events.take(), flaw, count, depth + 1)
            items += [] if flaw.reason else [item]
        events.take()
        return items
    return {name: item for name, (_, item) in _entries(events, flaw, count, depth + 1).items()}


def _entries(events: _Events, flaw: _Flaw, count: _Count, depth: int) -> dict[str, tuple[int, object]]:
    """Return line and value of each key of a mapping that has begun; when it has a flaw, only read it to its end."""
    found: dict[str, tuple[int, object]] = {}
    while not isinstance(events.peek(), yaml.MappingEndEvent):
        key = events.take()
        name, line = _value(events, key, flaw, count, depth), events.line
        if not isinstance(name, str):
            flaw.note(line, f"a key is a word, got {_kind(key)}")
        elif name in found:
            flaw.note(line, f"{name[:40]} given twice; give each field once")
        item = _value(events, events.take(), flaw, count, depth)
        found |= {} if flaw.reason else {str(name): (line, item)}
    events.take()
    return found


def _refusal(event: Any, count: _Count, depth: int) -> str:
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{str(event.anchor)[:40]} is not followed; write the value out, or put it under defaults:"
    if event.anchor is not None:
        return f"the anchor &{str(event.anchor)[:40]} is not read; write values out, or put them under defaults:"
    if event.tag is not None:
        return f"the tag {event.tag[:40]} is not read; write plain text, lists and mappings"
    if depth > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} deep; a job is a mapping of {', '.join(JOB_FIELDS)}"
    if count.values > MAX_VALUES:
        return f"it holds more than {MAX_VALUES:,} values; divide it into several jobs"
    return ""


def _skip(events: _Events, event: Any) -> None:
    """Read a value to its end without keeping it.

    Raises:
        InvalidPromptFile: It is nested so deep that reading on would take hours: the parser looks at every open level
            for every sign.
    """
    open_ = int(isinstance(event, yaml.CollectionStartEvent))
    while open_:
        event = events.take()
        open_ += isinstance(event, yaml.CollectionStartEvent)
        if open_ > MOST_OPEN:
            raise InvalidPromptFile(f"line {events.line}: nested more than {MOST_OPEN} deep; this is no prompt file")
        open_ -= isinstance(event, yaml.CollectionEndEvent)


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
