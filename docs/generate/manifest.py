"""The JSON schema of manifests, made from the types of `recipe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from reelmill_common.job_fields.limits import MAX_SEED, SIZE_STEP
from reelmill_common.recipe import Manifest, Recipe

PATH = Path("docs/manifest.schema.json")

_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"https://github.com/reelmill/reelmill/blob/main/{PATH}",
    "title": "Manifest of a clip",
    "description": "How a clip was made: the .json beside every .mp4 in the store, written last. The tag `comment` of "
    "the MP4 holds the same without `clip`, `metadata`, `seconds`, `gpu_s`, `energy_j`, `submitted_at` and "
    "`written_at`. Keys are added, never renamed; a change of meaning raises `schema_version`.",
}
_PIXELS = {"description": "Pixels.", "minimum": SIZE_STEP, "multipleOf": SIZE_STEP}
_SPEC = {
    "prompt": {"minLength": 1},
    "seed": {"minimum": 0, "maximum": MAX_SEED},
    "width": _PIXELS,
    "height": _PIXELS,
    "frames": {"description": "4k + 1.", "minimum": 1},
    "fps": {"minimum": 1, "maximum": 120},
}
"""What `RenderSpec` checks beyond its types."""
_NULLABLE = "energy_j"


def render() -> str:
    """Return the document."""
    schema, recipe = TypeAdapter(Manifest).json_schema(), TypeAdapter(Recipe).json_schema()
    schema["properties"] |= recipe["properties"]  # with the strings below the fields, which pydantic does not inherit
    schema["required"] += ["schema_version"]
    spec = schema["$defs"]["RenderSpec"]
    spec |= {"required": [*spec["properties"]], "additionalProperties": False}
    del spec["description"]
    for name, checks in _SPEC.items():
        spec["properties"][name] |= checks
    for name, value in schema["properties"].items():
        if "anyOf" in value and name != _NULLABLE:
            value.update(value.pop("anyOf")[0])  # what is not known is absent, not null
    return json.dumps(_HEAD | _plain(schema) | _HEAD, indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Return a schema without titles and defaults, and with each text in one line."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if not _is_noise(name, item)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _is_noise(name: str, value: object) -> bool:
    return (name == "title" and isinstance(value, str)) or (name == "default" and not isinstance(value, dict))
