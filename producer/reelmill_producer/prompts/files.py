"""Prompt files: read once, in constant memory. Every row is checked before the first is submitted."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.job_fields.metadata import check_metadata
from reelmill_common.jobs import RenderJob, RenderSpec, check_name, spec_from_mapping
from reelmill_common.text.names import file_slug, hashed
from reelmill_producer.prompts.columns import ColumnReading, columns_of
from reelmill_producer.prompts.foreign_syntax import look_at_prompt
from reelmill_producer.prompts.formats import FORMATS, TAB_SUFFIXES, WHOLE_SUFFIX, Format, format_of, read_rows
from reelmill_producer.prompts.lines import BadLine
from reelmill_producer.prompts.policy_options import FileHeader, PolicyOptions
from reelmill_producer.prompts.row_names import row_name
from reelmill_producer.prompts.rows import Row
from reelmill_producer.prompts.spool import KeyedRow, RowSpool
from reelmill_producer.prompts.utf8 import SAMPLE_BYTES, what_else

MAX_REPORTED = 100
"""Bad lines that are kept and shown; beyond that they are counted."""

Admit = Callable[[RenderSpec], None]
"""A further check of a row, which raises `InvalidJob`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """The result of a check.

    Attributes:
        rows: Number of different jobs in the file.
        duplicates: Number of rows that repeat an earlier one exactly; they are one job.
        bad: The first `MAX_REPORTED` bad lines.
        bad_count: Number of all bad lines.
    """

    rows: int
    duplicates: int
    bad: tuple[BadLine, ...]
    bad_count: int


@dataclass(slots=True, kw_only=True)
class PromptFile:
    """An open prompt file. It is read once, by the check; the rows that were good then are submitted.

    Attributes:
        name: The name as it was given; `-` for standard input.
        form: The format.
        defaults: Fields of rows that do not give them.
        admit: A check beyond the spec's own.
        reading: What was asked for, and what is assumed of the columns; has notes once the file was checked.
    """

    name: str
    form: Format
    defaults: Mapping[str, object]
    admit: Admit | None = None
    reading: ColumnReading = field(default_factory=ColumnReading)
    _stream: IO[bytes]
    _good: RowSpool
    _report: FileReport | None = None
    _head: FileHeader | None = None

    @property
    def batch_name(self) -> str:
        """The default name of its batch: the file's name without folder and suffix."""
        return "stdin" if self.name == "-" else file_slug(self.source)

    @property
    def source(self) -> str:
        """The file's name without folder and suffix, which distinguishes its batch from another file's."""
        return "" if self.name == "-" else unicodedata.normalize("NFC", Path(self.name).stem)

    @property
    def head(self) -> FileHeader | None:
        """What the file says of its batch; None if nothing, or if it was not read yet."""
        return self._head

    def policy(self, asked: PolicyOptions, batch: str, now: datetime) -> PolicyOptions:
        """Return the policy that is asked for, completed by the file's head.

        Raises:
            InvalidPromptFile: A batch of that name cannot have that policy.
        """
        if self._head is None:
            return asked
        options = asked.over(self._head.options)
        try:
            options.batch(batch, now, mark="")
        except InvalidJob as err:
            raise InvalidPromptFile(
                f"{self.name}: line {self._head.line}: batch: {err}; nothing was submitted"
            ) from err
        return options

    def check(self) -> FileReport:
        """Read the whole file and check every row; nothing is submitted.

        Raises:
            InvalidPromptFile: The file cannot be read, or is empty.
        """
        if self._report is None:
            self._report = self._read()
        return self._report

    def checked(self) -> FileReport:
        """Check as `check` does, and refuse bad lines.

        Raises:
            InvalidPromptFile: There are bad lines; the message lists the first `MAX_REPORTED`.
        """
        report = self.check()
        if report.bad_count:
            raise InvalidPromptFile(refusal(self, report))
        return report

    def jobs(self, batch: str) -> FileJobs:
        """Return the good rows as jobs of a batch, each once, in file order."""
        return FileJobs(file=self, batch=batch)

    def rows(self) -> Iterator[tuple[str, RenderSpec]]:
        """Yield key and spec of the good rows, each once."""
        return ((row, spec) for row, spec, _, _ in self.named_rows())

    def named_rows(self) -> Iterator[tuple[str, RenderSpec, Mapping[str, str], tuple[str, ...]]]:
        """Yield key, spec and metadata of the good rows, and the other keys that each may have."""
        self.check()
        for row, key in self._good:
            yield key, row.spec, row.metadata, (row.names[1], row.names[0], row.key) if row.names else ()

    def _read(self) -> FileReport:
        rows = duplicates = bad_count = 0
        bad: list[BadLine] = []
        for item in _named(self.name, read_rows(self._stream, self.form, self.reading)):
            if isinstance(item, FileHeader):
                self._head = item
                continue
            found = item if isinstance(item, BadLine) else self._admitted(item)
            if isinstance(found, BadLine):
                bad_count += 1
                bad += [found] if len(bad) < MAX_REPORTED else []
            elif found:
                rows += 1
            else:
                duplicates += 1
        if not rows and not bad_count:
            raise InvalidPromptFile(f"{self.name} holds no prompts; write one a line, or a CSV with a prompt column")
        return FileReport(rows=rows, duplicates=duplicates, bad=tuple(bad), bad_count=bad_count)

    def _admitted(self, row: Row) -> BadLine | bool:
        """Keep a good row; return whether it is new, or why it is bad."""
        place = f"{row.place}: " if row.place else ""
        try:
            look_at_prompt(row.values.get("prompt"), row.line, self.reading.notes)
            keyed = keyed_row({**self.defaults, **_given(row.values)}, row.metadata, row.names)
            if self.admit is not None:
                self.admit(keyed.spec)
        except InvalidJob as err:
            return BadLine(line=row.line, reason=f"{place}{err}")
        earlier = self._good.add(keyed, row.line)
        if earlier is None:
            return True
        line, other = earlier
        if other == keyed.spec:
            return False
        return BadLine(
            line=row.line,
            reason=f"{place}id {keyed.key!r} stands in line {line} with different content; give each an id of its own",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileJobs:
    """The jobs of a prompt file: can be iterated repeatedly, and are never in memory as a whole."""

    file: PromptFile
    batch: str

    def __iter__(self) -> Iterator[RenderJob]:
        for row, spec, metadata, others in self.file.named_rows():
            yield RenderJob(batch=self.batch, row=row, spec=spec, metadata=metadata, others=others)


@contextmanager
def open_prompt_file(
    name: str,
    stdin: IO[bytes],
    *,
    form: Format | None = None,
    defaults: Mapping[str, object] | None = None,
    admit: Admit | None = None,
    columns: Mapping[str, str] | None = None,
    seeds: str = "",
) -> Generator[PromptFile]:
    """Open a file by its path, or standard input by `-`.

    Args:
        name: Path of the file, or `-`.
        stdin: The stream that is read for `-`.
        form: Format of the file; by default its suffix decides.
        defaults: Fields of rows that do not give them.
        admit: A check beyond the spec's own.
        columns: The meaning of columns by their plain names, as `prompts.columns.asked_columns` reads them.
        seeds: Seeds: every row is rendered with each, as `0..4`; empty: each row has its own.

    Raises:
        InvalidPromptFile: It cannot be opened, or its format is not known.
    """
    guessed, form = form is None, form or _format(name)
    with (
        _opened(name, stdin) as stream,
        prompts_of(
            stream, name, form, guessed=guessed, defaults=defaults, admit=admit, columns=columns, seeds=seeds
        ) as prompts,
    ):
        yield prompts


@contextmanager
def prompts_of(
    stream: IO[bytes],
    name: str,
    form: Format,
    *,
    guessed: bool = False,
    defaults: Mapping[str, object] | None = None,
    admit: Admit | None = None,
    columns: Mapping[str, str] | None = None,
    seeds: str = "",
) -> Generator[PromptFile]:
    """Read a stream as a prompt file, once; the options are those of `open_prompt_file`.

    Messages call it by the name. `guessed` says that only the name's suffix told the format.
    """
    suffix = Path(name).suffix.lower()
    reading = ColumnReading(
        columns=columns or {}, seeds=seeds, tabs=suffix in TAB_SUFFIXES, whole=suffix == WHOLE_SUFFIX, guessed=guessed
    )
    with closing(RowSpool()) as good:
        yield PromptFile(
            name=name, form=form, defaults=defaults or {}, admit=admit, reading=reading, _stream=stream, _good=good
        )


def row_of_mapping(values: Mapping[str, object]) -> KeyedRow:
    """Return the row of a mapping with the columns of a prompt file, as the SDK takes it.

    Raises:
        InvalidJob: A field cannot be rendered as asked, or is probably misspelt.
    """
    given, metadata = columns_of(list(values), {}, "").split(values)
    if "seeds" in given:
        raise InvalidJob("seeds makes several rows, and one was given; use seed, a row for each")
    return keyed_row(given, metadata)


def keyed_row(values: Mapping[str, object], metadata: Mapping[str, str], names: tuple[str, ...] = ()) -> KeyedRow:
    """Return a row with its key: its `id`, else the digest of its spec and readable names.

    Args:
        values: Values by field, `id` included.
        metadata: The row's metadata.
        names: Names that replace its `id`.

    Raises:
        InvalidJob: A field is unknown or cannot be rendered as asked.
    """
    given = dict(values)
    key = given.pop("id", "")
    spec = spec_from_mapping(given)
    check_metadata(metadata)
    if key in ("", None):
        name = row_name(spec)
        return KeyedRow(key=spec.digest, spec=spec, names=(name, hashed(name, spec.digest)), metadata=metadata)
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise InvalidJob(f"id={str(key)[:40]!r} is not text")
    text = str(key).strip()
    check_name("id", text)
    for name in names:
        check_name("id", name)
    return KeyedRow(key=text, spec=spec, names=names, metadata=metadata)


def refusal(file: PromptFile, report: FileReport) -> str:
    """Return the message that lists a file's bad lines, and what was assumed of it."""
    lines = [f"  line {item.line}: {item.reason}" for item in report.bad]
    if report.bad_count > len(report.bad):
        lines.append(f"  and {report.bad_count - len(report.bad):,} more")
    count = f"{report.bad_count:,} bad line{'s' if report.bad_count > 1 else ''}"
    head = f"{file.name} has {count} and {report.rows:,} good; nothing was submitted"
    lines += [f"  ({note})" for note in file.reading.assumptions()]
    return "\n".join([head, *lines, "Correct them, or submit the good ones alone with --skip-invalid"])


def _given(values: Mapping[str, object]) -> Mapping[str, object]:
    """Leave out what a row leaves empty, so that the defaults apply."""
    return {name: value for name, value in values.items() if value not in ("", None)}


def _format(name: str) -> Format:
    form = None if name == "-" else format_of(Path(name).suffix)
    if form is None:
        if name != "-" and (other := _what_else(name)):
            raise InvalidPromptFile(f"{name}: the file is {other}")
        what = "standard input has no name to tell its format" if name == "-" else f"{name} does not tell its format"
        raise InvalidPromptFile(f"{what}; say --format {' or '.join(FORMATS)}")
    return form


def _what_else(name: str) -> str:
    """Return what a file without a known suffix is, if it can be read and is not text."""
    try:
        with Path(name).open("rb") as stream:
            return what_else(stream.read(SAMPLE_BYTES))
    except IsADirectoryError as err:
        raise _unreadable(name, err) from err
    except (OSError, ValueError):
        return ""


def _unreadable(name: str, err: OSError | ValueError) -> InvalidPromptFile:
    why = getattr(err, "strerror", None) or str(err)
    return InvalidPromptFile(f"cannot read {name!r} ({why}); give a file of prompts (txt, csv, jsonl or yaml)")


@contextmanager
def _opened(name: str, stdin: IO[bytes]) -> Generator[IO[bytes]]:
    if name == "-":
        yield stdin
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - closed below; errors of the body are not caught here
    except (OSError, ValueError) as err:
        raise _unreadable(name, err) from err
    with stream:
        yield stream


def _named(name: str, rows: Iterator[Row | BadLine | FileHeader]) -> Iterator[Row | BadLine | FileHeader]:
    """Yield the rows; add the file's name to errors."""
    try:
        yield from rows
    except InvalidPromptFile as err:
        raise InvalidPromptFile(f"{name}: {err}; nothing was submitted") from err
    except OSError as err:
        raise InvalidPromptFile(f"cannot read {name!r} ({err.strerror}); nothing was submitted") from err
