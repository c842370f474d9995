"""Parameter grids: one job of a YAML file becomes a row for each combination of its values."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, product

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.foreign_fields import check_foreign_fields
from reelmill_common.job_fields.limits import MAX_SEED
from reelmill_common.jobs import RenderSpec
from reelmill_common.text.names import hashed, joined, keywords
from reelmill_producer.prompts.columns import COLUMNS, ColumnReading
from reelmill_producer.prompts.lines import BadLine
from reelmill_producer.prompts.rows import Row, unknown_names

MAX_ROWS = 1_000_000
"""Rows of one file: at 3 s a clip, a month of one GPU."""

MAX_AXES = 32
"""Names under `vars` and `grid` of one job."""

SPEC_FIELDS = tuple(item.name for item in fields(RenderSpec))
_STRUCTURE = ("vars", "grid")
_SEEDS = frozenset({"seed", "seeds"})
JOB_FIELDS = (*COLUMNS, "seeds", *_STRUCTURE)
DEFAULTS = (*SPEC_FIELDS, "seeds")

_RANGE = re.compile(r"([0-9]{1,19})(?:\.\.([0-9]{1,19}))?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What a file may still expand to."""

    rows: int = MAX_ROWS

    def spend(self, rows: int) -> None:
        """Take so many rows. Raises `InvalidJob` if there are not so many left."""
        if rows > self.rows:
            raise InvalidJob(
                f"its grid makes {rows:,} rows, and {MAX_ROWS - self.rows:,} stand before it; a file has at most "
                f"{MAX_ROWS:,}: divide it into several files"
            )
        self.rows -= rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """A field or variable that varies, and its values: lists or ranges of seeds, one after the other."""

    name: str
    values: Sequence[Sequence[object]]

    def __len__(self) -> int:
        return sum(map(len, self.values))

    def __iter__(self) -> Iterator[object]:
        return chain.from_iterable(self.values)


def expanded(
    number: int,
    line: int,
    job: Mapping[str, object] | BadLine,
    defaults: Mapping[str, object],
    allowance: Allowance,
    reading: ColumnReading,
) -> Iterator[Row | BadLine]:
    """Yield the rows of one job, the seeds changing fastest, or why it has none.

    Args:
        number: The number of the job in its file, counted from 1.
        line: Where it begins.
        job: Its fields as they are written.
        defaults: Fields of jobs that do not give them.
        allowance: What the file may still expand to.
        reading: How keys are read that are not our fields.
    """
    if isinstance(job, BadLine):
        yield job
        return
    place = f"job {number}"
    try:
        own, metadata = _split(job, reading)
        shared, axes = _divided(own, defaults, reading.seeds)
        count = math.prod(map(len, axes))
        allowance.spend(count)
    except InvalidJob as err:
        yield BadLine(line=line, reason=f"{place}: {err}")
        return
    for index, combination in enumerate(_combinations(axes), 1):
        where = place if not axes else f"{place}, row {index:,} of {count:,}"
        yield _row(Row(line=line, values=shared, metadata=metadata, place=where), combination)


def seeded(rows: Iterator[Row | BadLine], reading: ColumnReading) -> Iterator[Row | BadLine]:
    """Yield rows; one with several seeds becomes a row for each seed."""
    allowance = Allowance()
    for row in rows:
        if isinstance(row, BadLine) or not (reading.seeds or "seeds" in row.values):
            yield row
        else:
            yield from _by_seed(row, reading, allowance)


def _by_seed(row: Row, reading: ColumnReading, allowance: Allowance) -> Iterator[Row | BadLine]:
    own = dict(row.values)
    seeds = own.pop("seeds", None)
    if "seed" in own and seeds is not None:
        yield BadLine(line=row.line, reason="seed and seeds are both given; use one of them")
        return
    if reading.seeds and (own.pop("seed", None) is not None or seeds is not None):
        reading.notes.add("the seeds of the file are ignored, since --seeds is given")
    name = "--seeds" if reading.seeds else "seeds"
    try:
        axis = _seed_axis(name, reading.seeds or [str(item) for item in _several(seeds)])
        allowance.spend(len(axis))
    except InvalidJob as err:
        yield BadLine(line=row.line, reason=str(err))
        return
    for seed in dict.fromkeys(axis):
        yield _row(replace(row, values=own), {"seed": seed})


def _several(value: object) -> Sequence[object]:
    """Return the parts of a list: of JSON, or as text, as spreadsheets keep it: `[1, 2]`."""
    if isinstance(value, list):
        return list(value)
    return [str(value).strip().strip("[]()")]


def _split(job: Mapping[str, object], reading: ColumnReading) -> tuple[dict[str, object], dict[str, str]]:
    """Return the values of a job by our fields, and its metadata."""
    structure = {name: value for name, value in job.items() if name in _STRUCTURE}
    rest = {name: value for name, value in job.items() if name not in _STRUCTURE}
    given, metadata = reading.columns_of(list(rest), "field").split(rest)
    for name in metadata:
        if near := difflib.get_close_matches(name, _STRUCTURE, n=1, cutoff=0.8):
            raise InvalidJob(f"unknown field {name!r}; did you mean {near[0]}?")
    return {**given, **structure}, metadata


def _combinations(axes: Sequence[_Axis]) -> Iterator[dict[str, object]]:
    if not axes:
        yield {}
        return
    *slow, fast = axes
    for values in product(*slow):
        shared = {axis.name: value for axis, value in zip(slow, values, strict=True)}
        for value in fast:  # not in the product, which would hold a million seeds in memory
            yield {**shared, fast.name: value}


def _divided(
    job: Mapping[str, object], defaults: Mapping[str, object], every_seed: str
) -> tuple[dict[str, object], list[_Axis]]:
    """Return the fields that all rows of a job share, and the axes along which they differ.

    A field of the job replaces the default of that name. Seeds come from one place only: `--seeds` (`every_seed`), else
    `seed`, `seeds` or `grid: seed` of the job, else `seed` or `seeds` of the defaults. Two of them at that place are
    refused.
    """
    given = {name: value for name, value in job.items() if value not in (None, "")}
    grid = _mapping("grid", given.pop("grid", None))
    variables = _mapping("vars", given.pop("vars", None))
    if every_seed:
        given, grid = _without_seeds(given) | {"seeds": every_seed}, _without_seeds(grid)
    _check_names(given, grid, variables)
    own = {*given, *grid}
    if own & _SEEDS:
        own |= _SEEDS
    shared = {name: value for name, value in defaults.items() if name not in own and value not in (None, "")} | given
    if len(_SEEDS & {*shared, *grid}) > 1:
        raise InvalidJob("seed and seeds are both given; use one of them")
    axes = _axes(variables, grid, shared.pop("seeds", None))
    for name, value in shared.items():
        if isinstance(value, list | dict):
            raise InvalidJob(f"{name} is a {_kind(value)}; what varies stands under grid:")
    if variables:
        _check_templates(grid.get("prompt", shared.get("prompt")), variables)
    return shared, axes


def _axes(variables: Mapping[str, object], grid: Mapping[str, object], seeds: object) -> list[_Axis]:
    """Return what varies, in the order in which it does: seeds last, since the last axis changes fastest."""
    axes = [_Axis(name=f"{{{name}}}", values=[_list(f"vars: {name}", value)]) for name, value in variables.items()]
    axes += [_Axis(name=name, values=[_list(f"grid: {name}", value)]) for name, value in grid.items() if name != "seed"]
    if "seed" in grid:
        axes.append(_seed_axis("grid: seed", grid["seed"]))
    elif seeds is not None:
        axes.append(_seed_axis("seeds", seeds))
    return axes


def _without_seeds(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in _SEEDS}


def _check_names(given: Mapping[str, object], grid: Mapping[str, object], variables: Mapping[str, object]) -> None:
    check_foreign_fields(grid)
    if unknown := unknown_names(list(grid), SPEC_FIELDS):
        raise InvalidJob(f"grid: unknown field {unknown}")
    if len(grid) + len(variables) > MAX_AXES:
        raise InvalidJob(f"vars and grid have {len(grid) + len(variables):,} names; use at most {MAX_AXES}")
    if twice := [name for name in given if name in grid]:
        raise InvalidJob(f"{', '.join(twice)} stands in the job and under grid:; give it once")
    if wrong := [name for name in variables if not _VARIABLE.fullmatch(name)]:
        raise InvalidJob(
            f"vars: {wrong[0][:40]!r} is not a valid name; use 1 to 64 letters, digits and _, as in {{animal}}"
        )


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        example = "{animal: [fox, owl]}" if name == "vars" else "{frames: [33, 81]}"
        raise InvalidJob(f"{name} is not a mapping; write for example {name}: {example}")
    return {str(key): item for key, item in value.items()}


def _list(name: str, value: object) -> list[object]:
    items: list[object] = list(value) if isinstance(value, list) else [value]
    if not items:
        raise InvalidJob(f"{name} is an empty list; give it a value, or remove it")
    if wrong := [item for item in items if not isinstance(item, str) or not item]:
        got = "nothing" if wrong[0] in (None, "") else f"a {_kind(wrong[0])}"
        raise InvalidJob(f"{name} holds {got}; give text or numbers, as in [33, 81]")
    return items


def _kind(value: object) -> str:
    return "mapping" if isinstance(value, dict) else "list"


def seeds_of(text: str, *, most: int = MAX_ROWS) -> list[int]:
    """Return the seeds that `0..4` or `3,5,8` stands for, each once.

    Raises:
        InvalidJob: It is not a list of seeds, a seed is out of range, or there are more than `most`.
    """
    if not all(_RANGE.fullmatch(part.strip()) for part in text.split(",")):
        raise InvalidJob(f"--seeds {text[:40]!r} is not a list of seeds; use for example 1..8 or 3,5,8")
    axis = _seed_axis("--seeds", text, most)
    if len(axis) > most:
        raise InvalidJob(f"--seeds {text[:40]} has {len(axis):,}; use at most {most} seeds")
    return list(dict.fromkeys(int(str(seed)) for seed in axis))


def _seed_axis(name: str, value: object, most: int = MAX_ROWS) -> _Axis:
    parts: list[range] = []
    for text in (part for item in _list(name, value) for part in str(item).split(",")):
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise InvalidJob(f"{name}: {text[:40]!r} is not a seed or a range of seeds; use for example 1..8 or [3, 5]")
        first, last = int(found[1]), int(found[2] or found[1])
        if last > MAX_SEED:
            raise InvalidJob(f"{name}: {last} is out of range; use 0 to {MAX_SEED}")
        if not 0 <= last - first < most:
            shown = f"{most:,}" if most >= 10_000 else most
            raise InvalidJob(f"{name}: {text.strip()} is not a rising range of at most {shown} seeds")
        parts.append(range(first, last + 1))
    return _Axis(name="seed", values=parts)


def _check_templates(prompts: object, variables: Mapping[str, object]) -> None:
    used: set[str] = set()
    for prompt in prompts if isinstance(prompts, list) else [prompts or ""]:
        for found in _BRACES.finditer(str(prompt)):
            if found[0] in ("{", "}"):
                raise InvalidJob(f"the prompt has a single {found[0]}; write {found[0] * 2} for a brace that is shown")
            if found[1] is not None:
                used.add(found[1])
    if missing := sorted(used - set(variables)):
        near = difflib.get_close_matches(missing[0], list(variables), n=1)
        hint = f"did you mean {near[0]}?" if near else f"vars has {', '.join(variables)}"
        raise InvalidJob(f"the prompt names {{{missing[0][:40]}}}, which vars does not have; {hint}")
    if idle := [name for name in variables if name not in used]:
        raise InvalidJob(
            f"vars has {', '.join(idle)}, which the prompt does not name; write {{{idle[0]}}} in the prompt"
        )


def _row(shared: Row, combination: Mapping[str, object]) -> Row:
    """Return one row, with its template filled, and its id, if it has one, made distinct."""
    row = {**shared.values, **{name: value for name, value in combination.items() if not name.startswith("{")}}
    variables = {name: value for name, value in combination.items() if name.startswith("{")}
    if variables:
        row["prompt"] = _BRACES.sub(lambda found: _filled(found[0], variables), str(row.get("prompt", "")))
    names: tuple[str, ...] = ()
    if combination and (given := str(row.get("id") or "").strip()):
        row["id"] = f"{given}-{_suffix(combination)}"
        names = _names(given, combination, str(row["id"]))
    return replace(shared, values=row, names=names)


def _filled(text: str, variables: Mapping[str, object]) -> str:
    return text[0] if text in ("{{", "}}") else str(variables[text])


def _names(given: str, combination: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Return the readable ids of a combination: the values that vary, and the same with a hash."""
    if list(combination) == ["seed"]:
        return ()
    middle = [keywords(str(value)) for name, value in combination.items() if name != "seed"]
    name = joined(given, middle, f"s{combination['seed']}" if "seed" in combination else "")
    return name, hashed(name, key)


def _suffix(combination: Mapping[str, object]) -> str:
    """Name a combination by its content, not by its place: a longer grid does not change the ids that are there.

    This key distinguishes rows; people see their names.
    """
    if list(combination) == ["seed"]:
        return f"s{combination['seed']}"
    text = json.dumps({name: str(value) for name, value in combination.items()}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
