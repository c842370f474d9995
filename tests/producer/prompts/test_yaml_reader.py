"""YAML prompt files: jobs and defaults, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from producer.prompt_steps import refused_yaml, yaml_rows
from reelmill_common.jobs import RenderSpec
from reelmill_producer.prompts import yaml_reader
from reelmill_producer.prompts.files import open_prompt_file

EXAMPLE = Path(__file__).parents[3] / "examples" / "grid.yaml"


def test_a_list_of_jobs_is_a_file() -> None:
    found = yaml_rows("- prompt: a fox\n- {id: owl, prompt: an owl, seed: 7, frames: 33}\n")

    assert [spec for _, spec in found] == [
        RenderSpec(prompt="a fox", profile="tiny"),
        RenderSpec(prompt="an owl", seed=7, frames=33, profile="tiny"),
    ]
    assert [row for row, _ in found] == ["fox-s1024", "owl"]


def test_defaults_hold_where_a_job_says_nothing() -> None:
    found = yaml_rows(
        "defaults: {frames: 33, seeds: 1..2}\njobs:\n- prompt: a fox\n- {prompt: an owl, seed: 7, frames: 17}\n"
    )

    assert [(spec.prompt, spec.seed, spec.frames) for _, spec in found] == [
        ("a fox", 1, 33),
        ("a fox", 2, 33),
        ("an owl", 7, 17),
    ]


def test_no_word_is_guessed_to_be_something_else() -> None:
    found = yaml_rows("- prompt: no\n- prompt: 2026-01-02\n- {prompt: '{x}', vars: {x: [yes, 1e3, 0x10]}}\n")

    assert [spec.prompt for _, spec in found] == ["no", "2026-01-02", "yes", "1e3", "0x10"]


def test_the_example_is_good() -> None:
    with open_prompt_file(str(EXAMPLE), io.BytesIO(), defaults={"profile": "tiny"}) as prompts:
        assert prompts.checked().rows == 17


BOMB = "- a: &a [x, x]\n" + "".join(
    f"- {chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        pytest.param("a fox", "line 1: a prompt file is a list of jobs", id="text"),
        pytest.param("prompt: a fox", "unknown key 'prompt'; a prompt file is a list of jobs", id="one mapping"),
        pytest.param("defaults: {seed: 1}", "it has no `jobs:`", id="no jobs"),
        pytest.param("jobs: a fox", "jobs is a list of jobs, got the text 'a fox'", id="jobs is text"),
        pytest.param("jobs: []\njobs: []", "line 2: jobs given twice", id="jobs twice"),
        pytest.param("jobs: []\ndefaults: {}", "line 2: defaults stands after the jobs", id="defaults last"),
        pytest.param("defaults: [1]\njobs: []", "defaults is a mapping of fields, got a list", id="defaults a list"),
        pytest.param(
            "batch: 7\njobs: []", "line 1: batch is a mapping such as {priority: 7}, got the text '7'", id="batch"
        ),
        pytest.param("jobs: []\nbatch: {}", "line 2: batch stands after the jobs", id="batch last"),
        pytest.param("batch: {}\nbatch: {}\njobs: []", "line 2: batch given twice", id="batch twice"),
        pytest.param("batch:\n  prio: 7\njobs: []", "line 2: batch: unknown key 'prio'; did you mean", id="batch key"),
        pytest.param("batch:\n  weight: 2\n  weight: 3\njobs: []", "line 3: batch: weight given twice", id="key twice"),
        pytest.param("batch: {weight: [2]}\njobs: []", "batch: weight is a list; give one value", id="weights"),
        pytest.param("batch: {weight: }\njobs: []", "batch: weight is nothing; give one value", id="no weight"),
        pytest.param("batch: {weight: 2.5}\njobs: []", "weight '2.5' is not a whole number; use 1 to 100", id="half"),
        pytest.param("batch:\n  priority: 10\njobs: []", "line 2: batch: priority=10 is out of range", id="priority"),
        pytest.param("batch: {after: []}\njobs: []", "after holds an empty list; give the name of a", id="after none"),
        pytest.param("batch: {after: [a, {b: c}]}\njobs: []", "after holds a mapping; give the name", id="after what"),
        pytest.param("batch: {after-any: A b}\njobs: []", "batch: batch 'A b' is not usable", id="after whom"),
        pytest.param("batch: {expires: soon}\njobs: []", "expires 'soon' is not a valid time; give", id="time"),
        pytest.param("batch: {window: at night}\njobs: []", "22:00-07:00 Europe/Vienna", id="window"),
        pytest.param("batch: {max-failures: half}\njobs: []", "'half' is not a valid budget; use", id="budget"),
        pytest.param("batch: {class: A b}\njobs: []", "worker class 'A b' is not usable", id="class"),
        pytest.param("batch: {owner: &a ann}\njobs: []", "batch: the anchor &a is not read", id="batch anchor"),
        pytest.param("batch: &a {owner: ann}\njobs: []", "batch: the anchor &a is not read", id="head anchor"),
        pytest.param("batch: {[a]: 1}\njobs: []", "batch: a key is a word, got a list", id="batch key list"),
        pytest.param("defaults: {sed: 1}\njobs: []", "'sed'; did you mean seed?", id="defaults unknown"),
        pytest.param("defaults: {a: *b}\njobs: []", "line 1: defaults: the alias *b", id="defaults alias"),
        pytest.param("- {prompt: a}\n---\n- {prompt: b}", "line 2: a second document begins", id="two documents"),
        pytest.param("", "holds no prompts", id="empty"),
        pytest.param("null", "line 1: a prompt file is a list", id="null"),
        pytest.param("- prompt: a\n- an owl", "line 2: job 2: a job is a mapping", id="text row"),
        pytest.param("- prompt: a\n- [owl]", "line 2: job 2: a job is a mapping", id="list row"),
        pytest.param(
            "- prompt: a\n-", "line 2: job 2: a job is a mapping such as {prompt: a fox}, got nothing", id="-"
        ),
        pytest.param("- prompt: a\n- sede: 1", "job 2: unknown field 'sede'; did you mean seed?", id="unknown field"),
        pytest.param("- prompt: a\n  prompt: b", "line 2: job 1: prompt given twice", id="field twice"),
        pytest.param("- {[a]: b}", "job 1: a key is a word, got a list", id="list as key"),
        pytest.param(BOMB, "line 1: job 1: the anchor &a is not read", id="alias bomb"),
        pytest.param("- {prompt: *x}", "job 1: the alias *x is not followed", id="alias"),
        pytest.param("- prompt: !!python/object/apply:os.system [ls]", "job 1: the tag", id="python tag"),
        pytest.param("- {prompt: a, vars: {x: [[[[[a]]]]]}}", "nested more than 4 deep", id="deep"),
        pytest.param("- " + "[" * 5000 + "]" * 5000, "nested more than 4 deep", id="very deep"),
        pytest.param("- prompt: a: b", "line 1: job 1: not YAML (mapping values", id="colon"),
        pytest.param("- {prompt: a\n- b", "not YAML", id="open brace"),
        pytest.param("- prompt: \t- a\n\t- b", "not YAML", id="tabs"),
        pytest.param(b"- prompt: f\xfcchse", "not text", id="latin-1"),
        pytest.param(b"- prompt: a\x00b", "not text", id="NUL"),
        pytest.param('- prompt: "\\U00110000"', "not YAML", id="impossible character"),
        pytest.param("- {prompt: a, seed: 1, seeds: 1..2}", "seed and seeds are both given", id="seed and seeds"),
        pytest.param("- {prompt: a, seeds: 3..1}", "seeds: 3..1 is not a rising range", id="falling range"),
        pytest.param("- {prompt: a, seeds: 1..2000000}", "at most 1,000,000 seeds", id="endless range"),
        pytest.param("- {prompt: a, seeds: 9223372036854775808}", "use 0 to 9223372036854775807", id="huge seed"),
        pytest.param("- {prompt: a, seeds: many}", "'many' is not a seed or a range", id="seeds of words"),
        pytest.param("- {prompt: a, seeds: []}", "seeds is an empty list", id="no seeds"),
        pytest.param("- {prompt: a, seeds: {a: 1}}", "seeds holds a mapping", id="mapping of seeds"),
        pytest.param("- {prompt: [a, b]}", "prompt is a list; what varies stands under grid:", id="list outside grid"),
        pytest.param("- {prompt: a, grid: {frames: [17, {}]}}", "grid: frames holds a mapping", id="list in grid"),
        pytest.param("- {prompt: a, grid: [17]}", "grid is not a mapping; write for example", id="grid a list"),
        pytest.param("- {prompt: a, grid: {id: [b]}}", "grid: unknown field 'id'", id="id in grid"),
        pytest.param("- {prompt: a, frames: 17, grid: {frames: [33]}}", "in the job and under grid:", id="given twice"),
        pytest.param("- {prompt: a, grid: {frames: [17, 18]}}", "job 1, row 2 of 2: frames=18", id="bad row of a grid"),
        pytest.param("- {prompt: a, vars: {x: [b]}}", "vars has x, which the prompt does not name", id="idle var"),
        pytest.param(
            "- {prompt: '{animl}', vars: {animal: [b]}}", "names {animl}, .* did you mean animal?", id="unknown var"
        ),
        pytest.param("- {prompt: '{x', vars: {x: [b]}}", "a single {; write {{", id="open template"),
        pytest.param("- {prompt: '{x y}', vars: {x y: [b]}}", "'x y' is not a valid name", id="name of a var"),
        pytest.param("- {prompt: '{x.__class__}', vars: {x: [b]}}", "names {x.__class__}", id="attribute"),
        pytest.param("- {prompt: '{x}', vars: {x: [b, '']}}", "vars: x holds nothing", id="empty value"),
        pytest.param("- {id: A b, prompt: a, seeds: 1..2}", "id 'A b-s1' is not usable", id="bad id"),
        pytest.param(
            "- {prompt: a, vars: {" + ", ".join(f"v{n}: x" for n in range(33)) + "}}", "use at most 32", id="many names"
        ),
        pytest.param("- {prompt: a, seeds: [" + "1, " * 20_000 + "1]}", "holds more than 20,000 values", id="values"),
        pytest.param(
            "- {prompt: a, seeds: 1..2}\n- {prompt: b, seeds: 1..1000000}",
            "job 2: its grid makes 1,000,000 rows, and 2 stand before it",
            id="too many rows",
        ),
    ],
)
def test_what_is_no_job_is_refused_with_its_place_and_what_to_do(content: str | bytes, advice: str) -> None:
    first, _, last = advice.partition(".*")

    message = refused_yaml(content)

    assert first in message
    assert last in message


def test_a_file_that_is_too_large_is_refused() -> None:
    assert f"more than {yaml_reader.MAX_BYTES:,} bytes" in refused_yaml(
        b"# " + b"x" * 80 + b"\n" * yaml_reader.MAX_BYTES
    )


@pytest.mark.parametrize(
    "content", ["- {prompt: a, seeds: 1..3}\n- {prompt: a: b}\n", "- prompt: a\n  seed: x\n", BOMB]
)
def test_the_slow_parser_says_the_same_lines(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = refused_yaml(content)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)

    slow = refused_yaml(content)

    assert places(slow) == places(fast)


def places(message: str) -> list[str]:
    return [line.split(":")[0] for line in message.splitlines()]
