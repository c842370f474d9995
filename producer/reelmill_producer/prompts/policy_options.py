"""A batch's policy as people write it: in the options of `submit`, or in the head of a YAML prompt file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from reelmill_common.calendar.time_text import time_at
from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import Batch
from reelmill_common.ledger import PolicyChange
from reelmill_producer.prompts.rows import unknown_names

NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """A policy as people write it; None or empty where nothing is given.

    Attributes:
        max_failures: `none` takes a budget away.
        start_after: A time as `time_text.time_at` reads it, or `none`.
        expires: Likewise.
        finish_by: Likewise.
        after: Names of batches, or `none`.
        after_any: Likewise.
    """

    priority: int | None = None
    window: str = ""
    owner: str = ""
    weight: int | None = None
    max_in_flight: int | None = None
    max_failures: str = ""
    start_after: str = ""
    expires: str = ""
    finish_by: str = ""
    after: Sequence[str] | None = None
    after_any: Sequence[str] | None = None
    worker_class: str = ""

    def given(self) -> dict[str, Any]:
        """Return what is given, by field."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value not in ("", [], ())}

    def __str__(self) -> str:
        """Return what is given, by the names of the options."""
        given = self.given()
        values = {name: given[field] for name, field in OPTIONS.items() if field in given}
        return ", ".join(f"{name} {' '.join(v) if isinstance(v, list) else v}" for name, v in values.items())

    def over(self, other: PolicyOptions) -> PolicyOptions:
        """Return these options, completed by another's."""
        return replace(other, **self.given())

    def change(self, now: datetime, *, mark: str = "--") -> PolicyChange:
        """Return what changes of a batch that may be there already.

        Args:
            now: With a time zone; spans count from it.
            mark: Stands before a word's name in messages.

        Raises:
            InvalidJob: A time cannot be read.
        """
        return PolicyChange(
            priority=self.priority,
            weight=self.weight,
            max_in_flight=self.max_in_flight,
            max_failures="" if self.max_failures == NONE else self.max_failures or None,
            start_after=_time(f"{mark}start-after", self.start_after, now),
            expires_at=_time(f"{mark}expires", self.expires, now),
            finish_by=_time(f"{mark}finish-by", self.finish_by, now),
            after=_names(self.after),
            after_any=_names(self.after_any),
        )

    def batch(self, name: str, now: datetime, *, mark: str = "--") -> Batch:
        """Return a new batch of that policy.

        Raises:
            InvalidJob: A value is not valid.
        """
        change = self.change(now, mark=mark)
        return Batch(name=name, window=self.window, owner=self.owner, worker_class=self.worker_class, **change.given())


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """The key `batch:` of a prompt file.

    Attributes:
        line: The line where it begins.
        options: The policy that it gives.
    """

    line: int
    options: PolicyOptions


OPTIONS: Mapping[str, str] = {
    "class" if item.name == "worker_class" else item.name.replace("_", "-"): item.name for item in fields(PolicyOptions)
}
"""Fields by the names of `submit`'s options, which are the keys of a head."""

_NUMBERS = {"priority": "0 to 9", "weight": "1 to 100", "max_in_flight": "0 to 100000"}
_LISTS = ("after", "after_any")


def head_of(line: int, entries: Mapping[str, tuple[int, object]], now: datetime) -> FileHeader:
    """Return the head of a file's keys and values. Each is checked alone: together they depend on the options.

    Raises:
        InvalidPromptFile: A key is unknown, or a value is not valid. The message names the line.
    """
    values: dict[str, Any] = {}
    for name, (at, given) in entries.items():
        if unknown := unknown_names([name], list(OPTIONS)):
            raise InvalidPromptFile(f"line {at}: batch: unknown key {unknown}")
        try:
            values[OPTIONS[name]] = value = _value(name, given)
            PolicyOptions(**{OPTIONS[name]: value}).batch(_NO_BATCH, now, mark="")
        except InvalidJob as err:
            raise InvalidPromptFile(f"line {at}: batch: {err}") from err
    return FileHeader(line=line, options=PolicyOptions(**values))


_NO_BATCH = "0" * 64
"""Name of a batch to check a policy with: one that no policy waits for."""


def _value(name: str, given: object) -> Any:
    """Return a value as its option takes it."""
    field = OPTIONS[name]
    if field in _LISTS:
        return _listed(name, given)
    if not isinstance(given, str) or not given.strip():
        raise InvalidJob(f"{name} is {_kind(given)}; give one value, or leave the key out")
    text = given.strip()
    if field not in _NUMBERS:
        return text
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise InvalidJob(f"{name} {text[:40]!r} is not a whole number; use {_NUMBERS[field]}")
    return int(text)


def _listed(name: str, given: object) -> list[str]:
    items: Sequence[object] = given if isinstance(given, list) else [given]
    names = [item.strip() for item in items if isinstance(item, str) and item.strip()]
    if not names or len(names) < len(items):
        wrong = next((item for item in items if not isinstance(item, str) or not item.strip()), None)
        what = _kind(wrong) if items else "an empty list"
        raise InvalidJob(f"{name} holds {what}; give the name of a batch, a list of such, or {NONE}")
    return names


def _kind(given: object) -> str:
    if given is None or isinstance(given, str):
        return "nothing"
    return "a list" if isinstance(given, list) else "a mapping"


def _time(option: str, text: str, now: datetime) -> float | None:
    if not text:
        return None
    return 0.0 if text == NONE else time_at(option, text, now).timestamp()


def _names(names: Sequence[str] | None) -> Sequence[str] | None:
    return tuple(name for name in names if name != NONE) if names else None
