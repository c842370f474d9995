from __future__ import annotations

import inspect
import pickle
import re

import pytest

from reelmill_common import errors
from reelmill_common.errors import ReelmillError

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, ReelmillError)]


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
