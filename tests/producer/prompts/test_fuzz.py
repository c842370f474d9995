"""Any bytes as a prompt file: jobs, or a refusal that says what to do, and never half of a file."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.cli import Cli
from reelmill_common.errors import InvalidPromptFile
from reelmill_common.ledger import Ledger
from reelmill_producer.prompts.files import open_prompt_file
from reelmill_producer.prompts.formats import FORMATS, Format

EXAMPLES = int(os.environ.get("FUZZ_FILES", "2200")) // len(FORMATS)
"""Files of each format."""
NUMBERS = st.integers(0, 2**64 - 1)
"""A file is made from one number: ten times quicker than piece by piece, and a failure is as short to repeat."""

FITTING = {
    "prompt": ["a fox", "an owl", "'a {x} in {y}'", "no", "2026-01-02"],
    "id": ["a", "b7", "''", "~"],
    "seed": ["5", "0", "9223372036854775807"],
    "seeds": ["1..3", "[1..2, 4]", "7"],
    "frames": ["5", "9"],
    "grid": ["{frames: [5, 9]}", "{seed: 1..4, decoder: [tiny, wan]}"],
    "vars": ["{x: [a, b], y: c}"],
}
ODD = [
    *(
        "'{x'",
        "'}}'",
        "",
        "82",
        "-1",
        "1.5",
        "1e999",
        "5..1",
        "1..9999999999",
        "0x10",
        "9" * 30,
        "[]",
        "[[[[[[1]]]]]]",
        "{}",
    ),
    *(
        "true",
        "{frames: [5, 6]}",
        "{x: []}",
        "{x: {y: z}}",
        "*a",
        "&a b",
        "!!python/object/apply:os.system [ls]",
        "b: c",
        "[1",
    ),
    *('"\\ud800"', '"\\U00110000"', "'\\0'", "\U0001f98a", "{", '"', "Z z", "../x"),
]
NOISE = [
    *(
        "- ",
        "prompt: ",
        "a fox",
        "\n",
        "  ",
        "\t",
        "*a",
        "&a ",
        "? ",
        "|\n",
        ">",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        "---\n",
        "...\n",
    ),
    *(
        "%YAML 9.9\n",
        "\\",
        "\\ud800",
        ",",
        ":",
        "#",
        "\r",
        "\0",
        "\ufeff",
        "\x85",
        "\u2028",
        "<<: ",
        "jobs:\n",
        "defaults:\n",
        "batch:\n",
    ),
]

Pairs = list[tuple[str, str]]
WRITERS: dict[Format, Callable[[Pairs], str]] = {
    "txt": lambda pairs: pairs[0][1],
    "csv": lambda pairs: ",".join(f'"{value}"' if "," in value else value for _, value in pairs[:2]),
    "jsonl": lambda pairs: json.dumps(dict(pairs[:2])),
    "yaml": lambda pairs: "- {" + ", ".join(f"{name}: {value}" for name, value in pairs) + "}",
}
HEADS: dict[Format, list[str]] = {
    "txt": [""],
    "csv": ["prompt,seed\n", "prompt,seed\n", "prompt\n"],
    "jsonl": [""],
    "yaml": ["", "jobs:\n", "defaults: {frames: 5}\njobs:\n", "defaults: {seeds: 1..2}\njobs:\n"],
}
POLICY = {
    "priority": ["7", "'0'"],
    "weight": ["3"],
    "max-in-flight": ["4"],
    "max-failures": ["5%", "10", "none"],
    "owner": ["studio", "no"],
    "window": ["22:00-07:00 Europe/Vienna"],
    "start-after": ["1h", "none"],
    "expires": ["2d", "2199-12-24T07:00"],
    "finish-by": ["3d", "none"],
    "class": ["h100"],
}


def content(form: Format, random: Random) -> bytes:
    """A file of jobs that are right and wrong in many ways, jobs followed by anything, or anything."""
    kind = random.random()
    if kind < 0.15:
        return random.randbytes(random.randrange(60))
    if kind < 0.3:
        return "".join(random.choices(NOISE, k=random.randrange(14))).encode()
    lines = [WRITERS[form](pairs(form, random)) for _ in range(random.randint(1, 3))]
    head = random.choice(HEADS[form])
    if form == "yaml" and random.random() < 0.3:
        head = f"batch: {{{', '.join(map(': '.join, policy(random)))}}}\n" + (head or "jobs:\n")
    file = (head + "\n".join(lines)).encode()
    return file + b"\n" + random.randbytes(random.randint(1, 4)) if kind < 0.4 else file


def policy(random: Random) -> Pairs:
    return [
        (name, random.choice(ODD) if random.random() < 0.1 or name not in POLICY else random.choice(POLICY[name]))
        for name in random.sample([*POLICY, "prio"], k=random.randint(0, 3))
    ]


def pairs(form: Format, random: Random) -> Pairs:
    second = ["seed"] if form != "yaml" else random.sample([*list(FITTING)[1:], "sede"], k=random.randint(0, 2))
    return [
        (name, random.choice(ODD) if random.random() < 0.15 or name not in FITTING else random.choice(FITTING[name]))
        for name in ["prompt", *second]
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_any_bytes_end_in_jobs_or_in_a_refusal(form: Format) -> None:
    seen = {"good": 0, "refused": 0}

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(number=NUMBERS)
    def feed(number: int) -> None:
        stream = io.BytesIO(content(form, Random(number)))
        with open_prompt_file("-", stream, form=form, defaults={"profile": "tiny"}) as prompts:
            try:
                report = prompts.checked()
            except InvalidPromptFile as refusal:
                seen["refused"] += 1
                message = str(refusal)
            else:
                seen["good"] += 1
                message = "nothing was submitted"
                jobs = {job.job_id for job in prompts.jobs("night")}
                assert len(jobs) == report.rows > 0
            assert "nothing was submitted" in message or "holds no prompts" in message

    feed()

    assert sum(seen.values()) >= EXAMPLES
    assert min(seen.values()) > EXAMPLES // 20, seen


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_enqueues_all_of_a_file_or_nothing(cli: Cli, ledger: Ledger, tmp_path: Path, form: Format) -> None:
    statuses: list[int] = []
    for number in range(16):
        batch = f"{form}-{number}"
        (tmp_path / batch).write_bytes(content(form, Random(number)))

        ran = cli("submit", tmp_path / batch, "--format", form, "--batch", batch, "--profile", "tiny", "--json")

        held = {view.name: view.total for view in ledger.batches.all()}
        statuses.append(ran.status)
        if ran.status == 0:
            assert held[batch] == ran.json["added"] > 0
        else:
            assert ran.err.startswith("error: ")
            assert batch not in held
    assert set(statuses) == {0, 65}
