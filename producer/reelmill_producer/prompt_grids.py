"""Parameter grids: one job of a YAML file becomes the rows of all its combinations, one after the other."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, product

from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import MAX_SEED, RenderSpec
from reelmill_producer.prompt_lines import BadLine
from reelmill_producer.prompt_rows import COLUMNS, Row, unknown_names

MAX_ROWS = 1_000_000
"""Rows of one file: at 3 s a clip, a month of one GPU."""

MAX_AXES = 32
"""Names under `vars` and `grid` of one job."""

SPEC_FIELDS = tuple(item.name for item in fields(RenderSpec))
JOB_FIELDS = (*COLUMNS, "seeds", "vars", "grid")
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
    """One thing that varies. `values` can be gone through again and again."""

    name: str
    values: Sequence[Sequence[object]]
    """Parts that follow each other: lists, or ranges of seeds."""

    def __len__(self) -> int:
        return sum(map(len, self.values))

    def __iter__(self) -> Iterator[object]:
        return chain.from_iterable(self.values)


def expanded(
    number: int, line: int, job: Mapping[str, object] | BadLine, defaults: Mapping[str, object], allowance: Allowance
) -> Iterator[Row | BadLine]:
    """Yield the rows of one job, the seeds changing fastest, or why it has none.

    Args:
        number: Of the job in its file, counted from 1.
        line: Where it begins.
        job: Its fields as they are written.
        defaults: Those that hold where it does not say otherwise.
        allowance: What the file may still expand to.
    """
    if isinstance(job, BadLine):
        yield job
        return
    place = f"job {number}"
    try:
        plain, axes = _divided(job, defaults)
        count = math.prod(map(len, axes))
        allowance.spend(count)
    except InvalidJob as err:
        yield BadLine(line=line, reason=f"{place}: {err}")
        return
    for index, combination in enumerate(_combinations(axes), 1):
        where = place if not axes else f"{place}, row {index:,} of {count:,}"
        yield Row(line=line, values=_row(plain, combination), place=where)


def _combinations(axes: Sequence[_Axis]) -> Iterator[dict[str, object]]:
    if not axes:
        yield {}
        return
    *slow, fast = axes
    for values in product(*slow):
        shared = {axis.name: value for axis, value in zip(slow, values, strict=True)}
        for value in fast:  # not in the product, which would hold a million seeds in memory
            yield {**shared, fast.name: value}


def _divided(job: Mapping[str, object], defaults: Mapping[str, object]) -> tuple[dict[str, object], list[_Axis]]:
    """Return what all rows of a job share, and what varies."""
    if unknown := unknown_names(list(job), JOB_FIELDS):
        raise InvalidJob(f"unknown field {unknown}")
    given = {name: value for name, value in job.items() if value not in (None, "")}
    grid = _mapping("grid", given.pop("grid", None))
    variables = _mapping("vars", given.pop("vars", None))
    _check_names(given, grid, variables)
    own = set(given) | set(grid)
    own |= {"seed", "seeds"} if own & {"seed", "seeds"} else set()
    plain = {name: value for name, value in defaults.items() if name not in own and value not in (None, "")} | given
    if len({"seed", "seeds"} & {*plain, *grid}) > 1:
        raise InvalidJob("seed and seeds are both given; use one of them")
    seeds = grid.get("seed", plain.pop("seeds", None))
    axes = [_Axis(name=f"{{{name}}}", values=[_list(f"vars: {name}", value)]) for name, value in variables.items()]
    axes += [_Axis(name=name, values=[_list(f"grid: {name}", value)]) for name, value in grid.items() if name != "seed"]
    axes += [] if seeds is None else [_seed_axis("grid: seed" if "seed" in grid else "seeds", seeds)]
    for name, value in plain.items():
        if isinstance(value, list | dict):
            raise InvalidJob(f"{name} is a {_kind(value)}; what varies stands under grid:")
    if variables:
        _check_templates(grid.get("prompt", plain.get("prompt")), variables)
    return plain, axes


def _check_names(given: Mapping[str, object], grid: Mapping[str, object], variables: Mapping[str, object]) -> None:
    if unknown := unknown_names(list(grid), SPEC_FIELDS):
        raise InvalidJob(f"grid: unknown field {unknown}")
    if len(grid) + len(variables) > MAX_AXES:
        raise InvalidJob(f"vars and grid have {len(grid) + len(variables):,} names; use at most {MAX_AXES}")
    if twice := [name for name in given if name in grid]:
        raise InvalidJob(f"{', '.join(twice)} stands in the job and under grid:; give it once")
    if wrong := [name for name in variables if not _VARIABLE.fullmatch(name)]:
        raise InvalidJob(f"vars: {wrong[0][:40]!r} is no name; use 1 to 64 letters, digits and _, as in {{animal}}")


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


def _seed_axis(name: str, value: object) -> _Axis:
    parts: list[range] = []
    for text in (part for item in _list(name, value) for part in str(item).split(",")):
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise InvalidJob(f"{name}: {text[:40]!r} is not a seed or a range of seeds; use for example 1..8 or [3, 5]")
        first, last = int(found[1]), int(found[2] or found[1])
        if last > MAX_SEED:
            raise InvalidJob(f"{name}: {last} is out of range; use 0 to {MAX_SEED}")
        if not 0 <= last - first < MAX_ROWS:
            raise InvalidJob(f"{name}: {text.strip()} is not a rising range of at most {MAX_ROWS:,} seeds")
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


def _row(plain: Mapping[str, object], combination: Mapping[str, object]) -> dict[str, object]:
    """Return one row: its template filled, and its id, if it has one, told from its neighbours'."""
    row = {**plain, **{name: value for name, value in combination.items() if not name.startswith("{")}}
    words = {name: value for name, value in combination.items() if name.startswith("{")}
    if words:
        row["prompt"] = _BRACES.sub(lambda found: _filled(found[0], words), str(row.get("prompt", "")))
    if combination and row.get("id") not in (None, ""):
        row["id"] = f"{row['id']}-{_suffix(combination)}"
    return row


def _filled(text: str, words: Mapping[str, object]) -> str:
    return text[0] if text in ("{{", "}}") else str(words[text])


def _suffix(combination: Mapping[str, object]) -> str:
    """Name a combination by what it is, not by its place: a longer grid leaves the ids that were there as they were."""
    if list(combination) == ["seed"]:
        return f"s{combination['seed']}"
    text = json.dumps({name: str(value) for name, value in combination.items()}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
