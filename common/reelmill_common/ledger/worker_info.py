"""`WorkerInfo`: what a worker reports about itself, as the ledger keeps it and `reelmill status --json` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from reelmill_common.errors import InvalidDocument
from reelmill_common.text.untrusted_json import read_object


def _plain(meaning: str) -> Any:
    return field(default="", metadata={"meaning": meaning})


def _object(meaning: str) -> Any:
    return field(default_factory=dict[str, Any], metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a worker reports about itself. Its parent writes it; a field that does not apply is absent from the JSON.

    `MEANINGS` documents every field. `more` has what a worker of another version reports beside them, and values of
    another type than ours, which are printed and not used.
    """

    pid: int = field(default=0, metadata={"meaning": "process id of the process that renders"})
    machine: str = _plain("id of the machine or container: names of workers are unique among machines")
    host: str = _plain("host name")
    renderer: str = _plain("`model`, or `fixed:SECONDS` for the renderer without a model")
    model_hash: str = _plain("hash of the model's files; `none` without a model")
    plan: Mapping[str, Any] = _object("how this GPU renders: `gpu`, `device`, `dtype`, `linears`, `attention` and more")
    versions: Mapping[str, Any] = _object("versions of the libraries that decide pixels, by name")
    store: str = _plain("URL of the clip store")
    store_once: bool | None = field(
        default=None, metadata={"meaning": "whether the store refuses to replace an object when asked to"}
    )
    gpu_uuid: str = _plain("name by which the driver knows the GPU, `GPU-…`; absent without a GPU")
    gpu_arch: str = _plain("architecture of the GPU, such as `sm90`; absent without a GPU")
    classes: Sequence[str] = field(default=(), metadata={"meaning": "worker classes that it has"})
    trouble: str = _plain("what it waits for or cannot reach, with the server's own words; absent if nothing")
    metrics: str = _plain("`HOST:PORT` of its metrics; absent if it serves none")
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> WorkerInfo:
        """Build it from an object of JSON: what is unknown or of another type goes to `more`."""
        known = {name: value for name, value in record.items() if _fits(name, value)}
        return cls(**known, more={name: value for name, value in record.items() if name not in known})

    @classmethod
    def from_json(cls, text: str) -> WorkerInfo:
        """Read it from the ledger; what cannot be read gives an empty one, for the worker is there all the same."""
        try:
            return cls.of(read_object(text, "what a worker reports"))
        except InvalidDocument:
            return cls()

    def record(self) -> dict[str, Any]:
        """Return it as an object of JSON, without the fields that are not set."""
        values = {name: getattr(self, name) for name in MEANINGS}
        return {name: value for name, value in values.items() if value != _EMPTY[name]} | dict(self.more)

    def to_json(self) -> str:
        """Write it as the ledger keeps it."""
        return json.dumps(self.record())


MEANINGS: Mapping[str, str] = {item.name: item.metadata["meaning"] for item in fields(WorkerInfo) if item.metadata}
"""What each field holds, by name, in the order of the JSON."""

_EMPTY: Mapping[str, Any] = {name: getattr(WorkerInfo(), name) for name in MEANINGS}
_TYPES: Mapping[str, type] = {"pid": int, "plan": dict, "versions": dict, "store_once": bool, "classes": list}


def _fits(name: str, value: object) -> bool:
    if name == "classes" and isinstance(value, list | tuple):
        return all(isinstance(item, str) for item in value)
    return name in MEANINGS and isinstance(value, _TYPES.get(name, str))
