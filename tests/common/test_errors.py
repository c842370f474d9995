from __future__ import annotations

import inspect
import pickle
import re

import pytest

from reelmill_common import errors
from reelmill_common.errors import ReelmillError

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, ReelmillError)]
TREE_LINE = re.compile(
    r"^    (?P<indent>[│ ├└─]*)(?P<name>[A-Z]\w+)(?: \((?P<builtin>\w+)\))? +(?P<status>\d+)   (?P<says>.+)$"
)


def drawn_tree() -> dict[str, tuple[str, str | None, int, bool]]:
    """Read the docstring's tree: name -> (parent, built-in that it resembles, exit status, retryable)."""
    tree: dict[str, tuple[str, str | None, int, bool]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := TREE_LINE.match(line):
            depth = len(found["indent"]) // 4
            path[depth:] = [found["name"]]
            parent = path[depth - 1] if depth else "Exception"
            tree[found["name"]] = (
                parent,
                found["builtin"],
                int(found["status"]),
                found["says"].endswith("(retryable)"),
            )
    return tree


def test_the_drawn_tree_is_the_tree() -> None:
    real = {
        item.__name__: (
            item.__bases__[0].__name__,
            item.exit_status,
            item.retryable,
        )
        for item in CLASSES
    }

    assert real == {name: (parent, status, retryable) for name, (parent, _, status, retryable) in drawn_tree().items()}


def test_the_built_ins_that_are_drawn_are_base_classes() -> None:
    for name, (_, builtin, _, _) in drawn_tree().items():
        bases = {base.__name__ for base in getattr(errors, name).__mro__}
        assert builtin is None or builtin in bases


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling(kind: type[ReelmillError]) -> None:
    error = kind("frames=82 is not 4k + 1; use 81 or 85")

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is kind
    assert str(again) == str(error) == "frames=82 is not 4k + 1; use 81 or 85"


def test_codes_are_the_names_in_snake_case_or_shorter_and_differ() -> None:
    codes = [item.code for item in CLASSES]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_what_it_means(kind: type[ReelmillError]) -> None:
    assert kind.__doc__
    assert kind.__doc__ != ReelmillError.__doc__ or kind is ReelmillError
