"""`WorkerInfo`: the JSON that the ledger keeps, read and written."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from reelmill_common.ledger.worker_info import MEANINGS, WorkerInfo

RECORD = {
    "pid": 7,
    "machine": "ab",
    "model_hash": "none",
    "store_once": False,
    "classes": ["cpu"],
    "plan": {"gpu": "cpu"},
}


def test_what_was_read_is_written_again_and_only_what_is_set() -> None:
    assert WorkerInfo.of(RECORD).record() == RECORD
    assert json.loads(WorkerInfo.from_json(json.dumps(RECORD)).to_json()) == RECORD
    assert WorkerInfo().to_json() == "{}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("colour", "red", id="of a newer version"),
        pytest.param("pid", "seven", id="of another type"),
        pytest.param("classes", ["cpu", 7], id="a list of another type"),
        pytest.param("more", {"pid": 1}, id="the name of what is not stored"),
    ],
)
def test_what_is_not_ours_is_kept_and_not_used(name: str, value: object) -> None:
    info = WorkerInfo.of(RECORD | {name: value})

    assert info.more == {name: value}
    assert info.record() == RECORD | {name: value}


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_what_cannot_be_read_is_an_empty_one(text: str) -> None:
    assert WorkerInfo.from_json(text) == WorkerInfo()


def test_every_field_but_the_rest_is_documented() -> None:
    assert [item.name for item in fields(WorkerInfo)] == [*MEANINGS, "more"]
