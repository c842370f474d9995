"""The reference of the Helm chart's values, made from its values and their schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

PATH = Path("docs/reference/helm.md")
CHART = Path(__file__).parents[2] / "infra/helm/reelmill"

_HEAD = """# Values of the Helm chart

`helm install farm infra/helm/reelmill -f my-values.yaml`; [Run a farm on Kubernetes](../kubernetes.md) says how to
begin. A value that is not here, or of another type, is refused.

This page is made from `values.yaml` and `values.schema.json` of `infra/helm/reelmill`.

| value | type | default | meaning |
| --- | --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    return _HEAD + "".join(_rows(schema["properties"], values, ""))


def _rows(properties: Mapping[str, Any], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, about in properties.items():
        default = values[name]
        inner = about.get("properties", {})
        if inner and not {"requests", "limits"} & inner.keys():
            yield f"| **`{prefix}{name}`** | | | {about['description']} |\n"
            yield from _rows(inner, default, f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {_type(about)} | `{json.dumps(default)}` | {_cell(about['description'])} |\n"


def _type(about: Mapping[str, Any]) -> str:
    if "enum" in about:
        return " or ".join(f"`{value}`" for value in about["enum"])
    return str(about.get("type", "integer or string"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
