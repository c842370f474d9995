"""Columns of a prompt file: which field of a job each one is, and which are kept as metadata.

The same holds for the keys of JSON and YAML, and of the mappings that the SDK takes. Capitals, spaces and dashes in a
name do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.foreign_fields import FOREIGN_FIELDS, check_foreign_fields
from reelmill_common.job_fields.metadata import metadata_text
from reelmill_common.jobs import RenderSpec
from reelmill_producer.prompts.notes import Notes

COLUMNS: tuple[str, ...] = ("id", *(item.name for item in fields(RenderSpec)))
"""The fields of a row; all but the prompt have a default."""
FIELDS: tuple[str, ...] = (*COLUMNS, "size", "seeds")
"""The same, and those that stand for several: `832x480`, and seeds that make a clip each."""
META, IGNORE = "meta", "ignore"
TARGETS = (*FIELDS, META, IGNORE)
"""What `--column TARGET=COLUMN` can make of a column."""

ALIASES: Mapping[str, Sequence[str]] = {
    "prompt": (
        *("video_prompt", "text_prompt", "positive_prompt", "prompt_text", "prompt_en", "prompts"),
        *("caption", "text", "description"),
    ),
    "frames": ("num_frames", "n_frames", "frame_count", "video_length"),
    "seed": ("random_seed", "noise_seed"),
    "fps": ("frame_rate", "framerate"),
    "size": ("resolution",),
}
"""Other names of a field, the clearest first. They count only if the field's own name is not there."""

_POLICY = (
    *("priority", "window", "owner", "weight", "max_in_flight", "max_failures", "expires", "start_after"),
    *("finish_by", "class"),
)
_ADVICE = f"Empty them, or leave a column aside as --column {IGNORE}=negative_prompt does"
_MOST_SHOWN = 20
MISSING = frozenset({"nan", "none", "null", "n/a", "na", "<na>"})
"""Values that programs write into an empty cell."""
_NOT_SLIPS = frozenset({"weight", "speed"})
_UNNAMED = re.compile(r"(unnamed:?_?\d+(_level_\d+)?|index_level_\d+)?")
"""Columns without a name of their own: the index of pandas, and empty columns of a spreadsheet."""
_SIZE = re.compile(r"([0-9]{2,5})\s*[xX*\u00d7]\s*([0-9]{2,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The meaning of a row's columns, by their names as they are written.

    Attributes:
        fields: The field of each column that is one.
        metadata: The name under which a column is kept as metadata.
        foreign: The field of `FOREIGN_FIELDS` of a column; its value may only say what the model does anyway.
        advice: What to do if it says something else.
    """

    fields: Mapping[str, str]
    metadata: Mapping[str, str]
    foreign: Mapping[str, str]
    advice: str

    def split(self, values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
        """Return a row's values by field, and its metadata.

        Raises:
            InvalidJob: It asks for what the model does not do, or its size is not valid.
        """
        foreign = {known: values[name] for name, known in self.foreign.items() if not _is_missing(values[name])}
        check_foreign_fields(foreign, self.advice)
        given = {field: values[name] for name, field in self.fields.items() if not _is_left_out(field, values[name])}
        if "size" in given:
            given |= self._width_and_height(given.pop("size"), given)
        kept = {known: metadata_text(values[name]) for name, known in self.metadata.items()}
        return given, {name: text for name, text in kept.items() if text}

    def _width_and_height(self, value: object, given: Mapping[str, object]) -> dict[str, object]:
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            name = plain(next(name for name, field in self.fields.items() if field == "size"))
            more = f", or add --column {META}={name}" if self.advice == _ADVICE else ""
            raise InvalidJob(f"size={str(value)[:40]!r} is not WIDTHxHEIGHT; use for example 832x480{more}")
        if given.keys() & {"width", "height"}:
            raise InvalidJob(f"size={str(value)[:40]!r} and width or height are both given; use one of them")
        return {"width": found[1], "height": found[2]}


@dataclass(slots=True, kw_only=True)
class ColumnReading:
    """How a file is read: what was asked for, and what was assumed.

    Attributes:
        columns: The meaning of columns by their plain names (`plain`), where it was given: one of `TARGETS`.
        seeds: The seeds of every row, as `0..4`; empty: each row has its own.
        tabs: Whether the file's name says that tabs separate its columns.
        whole: Whether the file's name says that it is one JSON value.
        guessed: Whether the file's name alone says its format.
        kept: Columns that are kept as metadata.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    seeds: str = ""
    tabs: bool = False
    whole: bool = False
    guessed: bool = False
    notes: Notes = field(default_factory=Notes)
    kept: dict[str, None] = field(default_factory=dict[str, None])
    _known: dict[tuple[str, ...], Columns] = field(default_factory=dict[tuple[str, ...], Columns])

    def columns_of(self, names: Sequence[str], word: str = "column") -> Columns:
        """Return the meaning of some columns, and note it.

        Raises:
            InvalidJob: One is probably misspelt, or two are the same field.
        """
        key = tuple(names)
        if key not in self._known:
            if len(self._known) > 1000:  # of objects that all have other keys
                self._known.clear()
            self._known[key] = columns = columns_of(names, self.columns, word)
            self._note(columns, word)
        return self._known[key]

    def _note(self, columns: Columns, word: str) -> None:
        for name, known in columns.fields.items():
            if plain(name) != known and known in FIELDS:
                self.notes.add(f"{word} `{name.strip()[:40]}` is the {known}")
        for name, kept in columns.metadata.items():
            self.kept.setdefault(name.strip()[:40])
            if kept in _POLICY:
                self.notes.add(f"{word} `{kept}` is not the batch's {kept}, which an option or a YAML file's head says")

    def assumptions(self) -> Iterator[str]:
        """Yield what was assumed, in sentences."""
        yield from self.notes
        if self.kept:
            names = [f"`{name}`" for name in self.kept]
            more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
            yield f"kept as metadata: {', '.join(names[:_MOST_SHOWN])}{more}"


def asked_columns(options: Sequence[str]) -> dict[str, str]:
    """Read `--column TARGET=COLUMN`, given any number of times.

    Raises:
        InvalidJob: An option has another form, or two are about one column.
    """
    found: dict[str, str] = {}
    for option in options:
        target, equals, column = option.partition("=")
        target, column = plain(target), plain(column)
        if not equals or target not in TARGETS or not column:
            raise InvalidJob(
                f"--column {option[:60]!r} is not FIELD=COLUMN; use for example prompt=caption, with one of "
                f"{', '.join(FIELDS)}, {META} (kept beside the job) or {IGNORE}"
            )
        if found.setdefault(column, target) != target:
            raise InvalidJob(f"--column names {column!r} twice, as {found[column]} and as {target}; use one of them")
    return found


def is_unnamed(name: str) -> bool:
    """Whether a column has no name of its own: the index of pandas, or an empty column of a spreadsheet."""
    return _UNNAMED.fullmatch(plain(name)) is not None


def plain(name: str) -> str:
    """Return a column's name as it is compared: lower case, with `_` between words."""
    return re.sub(r"[\s\-_]+", "_", name.strip().strip("\ufeff\u200b\u2060").strip().lower()).strip("_")


@lru_cache(maxsize=256)
def _near(name: str) -> str:
    """Return the field that a name misspells by one letter (added, missing, other or swapped); empty if none."""
    if name in _NOT_SLIPS:
        return ""
    return next((field for field in (*FIELDS, "num_frames", "caption") if _is_slip(name, field)), "")


def _is_slip(name: str, field: str) -> bool:
    if abs(len(name) - len(field)) > 1 or name == field or min(len(name), len(field)) < 3 or len(field) < 4:
        return False
    start = next((at for at, (one, two) in enumerate(zip(name, field, strict=False)) if one != two), len(field))
    one, two = name[start:], field[start:]
    other_letter = one[1:] == two[1:] and len(one) == len(two) and len(field) > 4  # `seen` and `send` are not slips
    return other_letter or one[1:] == two or one == two[1:] or (one[1::-1] == two[:2] and one[2:] == two[2:])


def columns_of(names: Sequence[str], asked: Mapping[str, str], word: str = "column") -> Columns:
    """Return the meaning of some columns.

    Args:
        names: Names as they are written. A column without a name of its own is left out.
        asked: The meaning of columns that was asked for, by their plain names.
        word: The word for a column in messages; empty: they come from the SDK, which has no options.

    Raises:
        InvalidJob: One is probably misspelt, or two are the same field.
    """
    by_plain: dict[str, str] = {}
    for written in names:
        name = plain(written)
        if not is_unnamed(name) and by_plain.setdefault(name, written) != written:
            raise InvalidJob(f"{by_plain[name]!r} and {written!r} are one name; give each {word} once")
    found: dict[str, str] = {by_plain[name]: target for name, target in asked.items() if name in by_plain}
    for target in FIELDS:
        if target not in found.values():
            choice = [name for name in (target, *ALIASES.get(target, ())) if name in by_plain and name not in asked]
            found |= {by_plain[name]: target for name in choice[:1]}
    taken = [target for target in found.values() if target in FIELDS]
    if twice := [target for target in taken if taken.count(target) > 1]:
        raise InvalidJob(f"two {word}s are named as the {twice[0]}; name one")
    rest = {name: written for name, written in by_plain.items() if written not in found}
    foreign = {written: name for name, written in rest.items() if name in FOREIGN_FIELDS}
    metadata = {written: name for name, written in rest.items() if name not in FOREIGN_FIELDS}
    for name in metadata.values():
        _refuse_slip(name, taken, word)
    metadata |= {written: plain(written) for written, target in found.items() if target == META}
    given = {written: target for written, target in found.items() if target in FIELDS}
    return Columns(fields=given, metadata=metadata, foreign=foreign, advice=_ADVICE if word else "Leave them out")


def _refuse_slip(name: str, taken: Sequence[str], word: str) -> None:
    meant = _near(name)
    other = next((field for field, names in ALIASES.items() if name in names and field != "prompt"), "")
    if other and other in taken:
        raise InvalidJob(f"{name!r} and another {word} both are the {other}; add --column {IGNORE}={name}")
    if meant and meant not in taken:
        if not word:
            raise InvalidJob(f"unknown field {name}; did you mean {meant}? To keep it as metadata, name it otherwise")
        raise InvalidJob(
            f"unknown {word} {name!r}; did you mean {meant}? Known are {', '.join(FIELDS)}; to keep it as metadata, "
            f"add --column {META}={name}"
        )


def _is_left_out(field: str, value: object) -> bool:
    return _is_empty(value) or (field not in ("prompt", "id") and _is_missing(value))


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_missing(value: object) -> bool:
    """Whether a value is what pandas and similar programs write into an empty cell."""
    return isinstance(value, str | float) and str(value).strip().lower() in MISSING
