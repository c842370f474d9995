"""Grids: the combinations of one job, and the seeds of a row."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pytest

from producer.prompt_steps import read, refused_yaml, yaml_rows
from reelmill_producer.prompts.files import open_prompt_file
from reelmill_producer.prompts.grids import MAX_ROWS


def test_seeds_of_a_row_make_a_clip_each(tmp_path: Path) -> None:
    jobs, _ = read(tmp_path / "a.csv", 'id,prompt,seeds\nfox,a fox,1..3\n,an owl,"0,7"\nhare,a hare,"[4, 5]"\n')

    assert [job.row for job in jobs] == ["fox-s1", "fox-s2", "fox-s3", "owl-s0", "owl-s7", "hare-s4", "hare-s5"]


def test_seeds_for_every_row_take_the_place_of_their_own(tmp_path: Path) -> None:
    csv, notes = read(tmp_path / "a.csv", "id,prompt,seed\nfox,a fox,9\n,an owl,\n", seeds="0..1")
    grid, _ = read(
        tmp_path / "a.yaml", "- {id: a, prompt: b, seeds: 1..9}\n- {prompt: c, grid: {seed: 3}}", seeds="2,4"
    )

    assert [job.row for job in csv] == ["fox-s0", "fox-s1", "owl-s0", "owl-s1"]
    assert "seeds of the file are ignored" in notes[0]
    assert [job.row for job in grid] == ["a-s2", "a-s4", "c-s2", "c-s4"]


def test_a_grid_makes_every_combination_with_the_seeds_changing_fastest() -> None:
    found = yaml_rows(
        "- prompt: a {animal} in {place}\n"
        "  vars: {animal: [fox, owl], place: [snow, rain]}\n"
        "  grid: {frames: [17, 33]}\n"
        "  seeds: [1..2, 9]\n"
    )

    assert len(found) == 2 * 2 * 2 * 3
    assert [(spec.prompt, spec.frames, spec.seed) for _, spec in found[:4]] == [
        ("a fox in snow", 17, 1),
        ("a fox in snow", 17, 2),
        ("a fox in snow", 17, 9),
        ("a fox in snow", 33, 1),
    ]


@pytest.mark.parametrize("seeds", ["1..3", "[1, 2, 3]", "1,2..3", '"1..3"', "[1..2, 3]"])
def test_seeds_may_be_written_as_range_or_list(seeds: str) -> None:
    found = yaml_rows(f"- prompt: a fox\n  seeds: {seeds}\n")

    assert [spec.seed for _, spec in found] == [1, 2, 3]


def test_an_id_of_a_grid_gets_a_suffix_that_stays_when_the_grid_grows() -> None:
    before = yaml_rows("- {id: a, prompt: '{x} fox', vars: {x: [red, grey]}, seeds: 1..2}")
    after = yaml_rows("- {id: a, prompt: '{x} fox', vars: {x: [old, red, grey]}, seeds: 0..2}")
    seeds = yaml_rows("- {id: a, prompt: fox, seeds: 1..2}")

    assert len({row for row, _ in before}) == 4
    assert set(before) <= set(after)
    assert [row for row, _ in seeds] == ["a-s1", "a-s2"]


def test_braces_are_text_where_nothing_varies_and_doubled_where_it_does() -> None:
    found = yaml_rows("- prompt: 'a {fox'\n- {prompt: 'a {{{x}}} fox', vars: {x: red}}\n")

    assert [spec.prompt for _, spec in found] == ["a {fox", "a {red} fox"]


def test_a_large_grid_needs_no_memory() -> None:
    tracemalloc.start()
    with open_prompt_file(
        "-", io.BytesIO(b"- {prompt: a fox, seeds: 1..5000}"), form="yaml", defaults={"profile": "tiny"}
    ) as prompts:
        count = prompts.check().rows
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 5000
    assert peak < 700_000


def test_a_grid_may_not_multiply_beyond_the_limit() -> None:
    values = ", ".join(map(str, range(101)))

    message = refused_yaml(f"- {{prompt: '{{x}}{{y}}{{z}}', vars: {{x: [{values}], y: [{values}], z: [{values}]}}}}")

    assert f"its grid makes 1,030,301 rows, and 0 stand before it; a file has at most {MAX_ROWS:,}" in message
