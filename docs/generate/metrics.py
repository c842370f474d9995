"""The reference of Prometheus metrics, made from the calls that build them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from reelmill_common.metrics import farm
from reelmill_worker.host import gpu_sensors
from reelmill_worker.parent import metrics as worker

PATH = Path("docs/reference/metrics.md")

_HEAD = """# Metrics

`reelmill metrics` serves the farm's metrics at `/metrics`, and each worker its own on `REELMILL_METRICS_PORT`
(`REELMILL_METRICS_SCOPE=farm` adds the farm's). `REELMILL_METRICS_TOKEN` asks for a bearer token. No metric names a
prompt, a batch or a job.

This page is made from the collectors, `common/reelmill_common/metrics` and `worker/reelmill_worker/parent/metrics.py`.
"""
_TABLE = """
## {title}

| metric | type | labels | unit | meaning |
| --- | --- | --- | --- | --- |
"""
_GPU = "reelmill_gpu_"
_UNITS = ("seconds", "bytes", "joules", "watts", "celsius", "ratio", "per_hour")

Row = tuple[str, str, list[str], str]
"""Name, type, labels and meaning."""


def render() -> str:
    """Return the page."""
    tables = {
        "The farm": _families(farm),
        "A worker": _families(worker),
        "A worker's GPU, with `reelmill[gpu]`": _sensors(),
    }
    return _HEAD + "".join(
        _TABLE.format(title=title) + "".join(_line(*row) for row in rows) for title, rows in tables.items()
    )


def _line(name: str, kind: str, labels: Iterable[str], meaning: str) -> str:
    unit = next((unit.replace("per_hour", "1/hour") for unit in _UNITS if name.endswith(unit)), "")
    shown = f"`{name}{'_total' * (kind == 'counter')}`"
    return f"| {shown} | {kind} | {', '.join(f'`{label}`' for label in labels)} | {unit} | {meaning} |\n"


def _families(module: ModuleType) -> Iterator[Row]:
    """Yield what `gauge`, `counter` and `_histogram` are called with; the ledger's state is built in two places."""
    seen: set[str] = set()
    for function, call in _calls(module, {"gauge", "counter", "_histogram"}):
        name, meaning, labels = call.args[:3]
        if isinstance(name, ast.Constant) and isinstance(meaning, ast.Constant) and str(name.value) not in seen:
            seen.add(str(name.value))
            found = _labels(labels, function, vars(module))
            yield str(name.value), _called(call).strip("_"), found, str(meaning.value)


def _sensors() -> Iterator[Row]:
    for _, call in _calls(gpu_sensors, {"SensorReading"}):
        given = {item.arg: item.value for item in call.keywords}
        name, meaning = ast.literal_eval(given["name"]), ast.literal_eval(given["help"])
        labels = ["reason"] if "reason" in given else []
        yield f"{_GPU}{name}", "counter" if "grows" in given else "gauge", labels, meaning


def _calls(module: ModuleType, names: set[str]) -> list[tuple[ast.FunctionDef, ast.Call]]:
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    found = [(function, node) for function in functions for node in ast.walk(function) if isinstance(node, ast.Call)]
    return sorted((pair for pair in found if _called(pair[1]) in names), key=lambda pair: pair[1].lineno)


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _labels(node: ast.expr, function: ast.FunctionDef, known: Mapping[str, Any]) -> list[str]:
    """Return label names: written out, of the module, or the keys of a dict that the function makes."""
    try:
        value = _value(node, known)
    except NameError as err:
        value = [key for made in _dicts(function, err.name) for key in _keys(made, known)]
    return [value] if isinstance(value, str) else list(value)


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<labels>", "eval"), dict(known))  # noqa: S307 - our own source


def _dicts(function: ast.FunctionDef, name: str) -> Iterator[ast.Dict]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=ast.Dict() as made) if found == name:
                yield made
            case _:
                continue


def _keys(made: ast.Dict, known: Mapping[str, Any]) -> Iterator[str]:
    for key, value in zip(made.keys, made.values, strict=True):
        if key is not None:
            yield ast.literal_eval(key)
        elif isinstance(value, ast.DictComp):  # **{name: … for name in NAMES}
            yield from _value(value.generators[0].iter, known)
