"""Rows: names that no field has."""

from __future__ import annotations

from reelmill_producer.prompts.rows import unknown_names


def test_unknown_names_come_with_the_nearest_known_one() -> None:
    found = unknown_names(["sede", "prompt", "x"], ["prompt", "seed"])

    assert found == "'sede', 'x'; did you mean seed? Known are prompt, seed"
    assert unknown_names(["seed"], ["seed"]) == ""
