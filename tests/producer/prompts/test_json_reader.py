"""JSON lines and JSON lists of prompts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from producer.prompt_steps import read, refused, specs


def test_a_jsonl_file_has_an_object_a_line(tmp_path: Path) -> None:
    found = specs(tmp_path / "night.jsonl", '{"prompt": "a fox", "seed": 7, "id": 12}\n\n{"prompt": "Ⅷ owls"}\n')

    assert [(row, spec.seed) for row, spec in found] == [("12", 7), ("viii-owls-s1024", 1024)]


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        pytest.param('{"prompt": ""}', "prompt is empty; give the text", id="empty prompt"),
        pytest.param('{"prompt": "  \\u00a0 \\n"}', "prompt is empty", id="prompt of nothing but space"),
        pytest.param('{"seed": 7}', "prompt is empty", id="no prompt"),
        pytest.param('{"prompt": "fox", "frames": 82}', "not 4k \\+ 1; use 81", id="illegal length"),
        pytest.param('{"prompt": "fox", "width": 833, "height": 480}', "use 128x80", id="odd width"),
        pytest.param('{"prompt": "fox", "seed": -1}', "seed=-1 is out of range; use 0 to", id="negative seed"),
        pytest.param('{"prompt": "fox", "seed": 1.5}', "seed='1.5' is not a whole number", id="fractional seed"),
        pytest.param('{"prompt": "fox", "profile": "wan"}', "profile='wan' is unknown; known are", id="profile"),
        pytest.param('{"prompt": "fox", "sampler": "ddim"}', "sampler='ddim' is unknown; known are", id="sampler"),
        pytest.param('{"prompt": "fox", "sede": 7}', "unknown field 'sede'; did you mean seed", id="unknown field"),
        pytest.param('{"prompt": "fox", "prompt": "owl"}', "prompt given twice", id="repeated key"),
        pytest.param('{"prompt": "fox"', "not JSON .*write one object a line", id="broken JSON"),
        pytest.param('["fox"]', "a row is an object", id="list instead of object"),
        pytest.param("[" * 60_000, "nested too deeply", id="deep nesting"),
        pytest.param('{"prompt": "fox", "seed": ' + "9" * 5000 + "}", "not JSON", id="endless number"),
        pytest.param('{"prompt": "fox", "id": "../x"}', "id '../x' is not usable", id="hostile id"),
        pytest.param('{"prompt": "fox", "id": [1]}', "id='\\[1\\]' is not text", id="id of another type"),
        pytest.param('{"prompt": "' + "fox " * 3000 + '"}', "characters; use at most 8192", id="endless prompt"),
        pytest.param("\ufeff{}", "not JSON|prompt is empty", id="a second mark"),
    ],
)
def test_a_bad_row_is_named_by_its_line_with_what_to_do(tmp_path: Path, row: str, advice: str) -> None:
    content = '{"prompt": "a fox"}\n' + row + "\n"

    message = refused(tmp_path / "night.jsonl", content.encode())

    assert "1 bad line and 1 good" in message
    assert "line 2: " in message
    assert re.search(advice, message), message


def test_structures_in_json_are_kept_as_text(tmp_path: Path) -> None:
    row = {"prompt_en": "a fox", "dimension": ["motion", "color"], "info": {"color": "red"}, "n": 3, "none": None}

    jobs, notes = read(tmp_path / "a.json", json.dumps([row]))

    assert dict(jobs[0].metadata) == {"dimension": "motion, color", "info": '{"color": "red"}', "n": "3"}
    assert notes[0] == "field `prompt_en` is the prompt"


def test_texts_are_rows_in_json_lines_as_in_a_list(tmp_path: Path) -> None:
    assert [job.spec.prompt for job in read(tmp_path / "a.jsonl", '"a fox"\n"an owl"\n')[0]] == ["a fox", "an owl"]
