"""Prompt files: what is read, and how every kind of bad line is told."""

from __future__ import annotations

import io
import re
import tracemalloc
from pathlib import Path

import pytest

from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import RenderSpec
from reelmill_producer.prompts.files import MAX_REPORTED, FileReport, open_prompt_file
from reelmill_producer.prompts.lines import MAX_LINE_BYTES

TINY = {"profile": "tiny"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def check(path: Path) -> FileReport:
    with open_prompt_file(str(path), io.BytesIO(), defaults=TINY) as prompts:
        return prompts.check()


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with (
        open_prompt_file(str(path), io.BytesIO(), defaults=TINY) as prompts,
        pytest.raises(InvalidPromptFile) as refusal,
    ):
        prompts.checked()
    assert "nothing was submitted" in str(refusal.value) or "holds no prompts" in str(refusal.value)
    return str(refusal.value)


def specs(path: Path, content: str) -> list[tuple[str, RenderSpec]]:
    path.write_text(content)
    with open_prompt_file(str(path), io.BytesIO(), defaults=TINY) as prompts:
        prompts.checked()
        return [(job.row, job.spec) for job in prompts.jobs("night")]


def test_a_text_file_has_one_prompt_a_line_and_comments(folder: Path) -> None:
    found = specs(folder / "night.txt", "# the foxes\na red fox\n\n  a grey fox  \n")

    assert [spec.prompt for _, spec in found] == ["a red fox", "a grey fox"]
    assert [row for row, _ in found] == ["red-fox-s1024", "grey-fox-s1024"]


def test_a_csv_names_its_columns(folder: Path) -> None:
    found = specs(folder / "night.csv", 'id,prompt,seed,frames\nfox,"a fox, red",7,33\nowl,an owl,,\n')

    assert found == [
        ("fox", RenderSpec(prompt="a fox, red", seed=7, frames=33, profile="tiny")),
        ("owl", RenderSpec(prompt="an owl", profile="tiny")),
    ]


def test_a_quoted_csv_cell_may_hold_line_ends(folder: Path) -> None:
    found = specs(folder / "night.csv", 'prompt,seed\n"a fox\nin snow",7\nan owl,8\n')

    assert [(spec.prompt, spec.seed) for _, spec in found] == [("a fox in snow", 7), ("an owl", 8)]


def test_a_jsonl_file_has_an_object_a_line(folder: Path) -> None:
    found = specs(folder / "night.jsonl", '{"prompt": "a fox", "seed": 7, "id": 12}\n\n{"prompt": "Ⅷ owls"}\n')

    assert [(row, spec.seed) for row, spec in found] == [("12", 7), ("viii-owls-s1024", 1024)]


def test_a_row_wins_over_the_defaults(folder: Path) -> None:
    found = specs(folder / "night.jsonl", '{"prompt": "a fox", "profile": "fastwan-qad-fp8"}\n')

    assert found[0][1].profile == "fastwan-qad-fp8"


def test_a_byte_order_mark_and_dos_line_ends_are_no_part_of_the_text(folder: Path) -> None:
    (folder / "night.csv").write_bytes(b"\xef\xbb\xbfprompt,seed\r\na fox,7\r\n")

    assert check(folder / "night.csv") == FileReport(rows=1, duplicates=0, bad=(), bad_count=0)


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
def test_a_bad_row_is_named_by_its_line_with_what_to_do(folder: Path, row: str, advice: str) -> None:
    content = '{"prompt": "a fox"}\n' + row + "\n"

    message = refused(folder / "night.jsonl", content.encode())

    assert "1 bad line and 1 good" in message
    assert "line 2: " in message
    assert re.search(advice, message), message


def test_all_bad_lines_are_told_at_once(folder: Path) -> None:
    content = "prompt,seed\na fox,7\n,8\nan owl,-1\na hare,x\n"

    message = refused(folder / "night.csv", content.encode())

    assert "3 bad lines and 1 good" in message
    assert [line.split(":")[0] for line in message.splitlines() if line.startswith("  line")] == [
        "  line 3",
        "  line 4",
        "  line 5",
    ]
    assert "--skip-invalid" in message


def test_a_flood_of_bad_lines_is_counted_beyond_the_first_hundred(folder: Path) -> None:
    message = refused(folder / "night.csv", b"prompt,seed\n" + b"a fox,-1\n" * 1234)

    assert "1,234 bad lines" in message
    assert message.count("  line ") == MAX_REPORTED
    assert "and 1,134 more" in message


def test_the_line_of_a_csv_row_after_a_long_cell_is_right(folder: Path) -> None:
    message = refused(folder / "night.csv", b'prompt,seed\n"a\nb\nc",1\nan owl,-1\n')

    assert "line 5: seed=-1" in message


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        pytest.param(b"promt,seed\nfox,1\n", "unknown column 'promt'; did you mean prompt?", id="misspelt column"),
        pytest.param(b"prompt,sede\nfox,1\n", "unknown column 'sede'; did you mean seed?", id="letters swapped"),
        pytest.param(b"prompt,frame\nfox,1\n", "did you mean frames?", id="letter missing"),
        pytest.param(b"prompt,prompt\nfox,owl\n", "stands twice", id="column twice"),
        pytest.param(b"seed\n1\n", "has no prompt column", id="no prompt column"),
        pytest.param(b"prompt\n\xff\xfe\n", "line 2: byte 1 (0xff) is not UTF-8", id="not UTF-8"),
        pytest.param(
            b"prompt\n\xeb\xe8\xf1\xe0 \xe2 \xf1\xed\xe5\xe3\xf3\n",
            "is not UTF-8; save the file as UTF-8",
            id="Cyrillic",
        ),
        pytest.param("prompt\n狐狸 a fox\n".encode("gbk"), "is not UTF-8; save the file as UTF-8", id="Chinese"),
        pytest.param("prompt\nfüchse\n".encode() + b"f\xfcchse\n", "as line 2 is; save the whole", id="two encodings"),
        pytest.param(b"PK\x03\x04 xlsx", "a spreadsheet or an archive (zip), not text", id="xlsx"),
        pytest.param(b"prompt\nfo\0x\n", "line 2: byte 3 is a NUL byte", id="NUL"),
        pytest.param(b"prompt,seed\na fox, red,7\n", "3 cells, but the header has 2", id="unquoted comma"),
        pytest.param(b'prompt,seed\na fox,7\n"an owl,8\na hare,9\n', "line 3: a quote is left open", id="open quote"),
        pytest.param(b'prompt,seed\n"a "red" fox",7\n', "line 2: not CSV", id="quote inside"),
        pytest.param(b"", "holds no prompts; write one a line", id="empty"),
        pytest.param(b"prompt,seed\n", "holds no prompts", id="header only"),
        pytest.param(b"\n\n", "holds no prompts", id="blank lines"),
    ],
)
def test_a_bad_csv_is_refused_with_what_to_do(folder: Path, content: bytes, advice: str) -> None:
    assert advice in refused(folder / "night.csv", content)


def test_an_open_quote_does_not_hide_that_later_lines_were_not_read(folder: Path) -> None:
    rows = b"".join(b"a fox number %d,7\n" % number for number in range(20_000))

    message = refused(folder / "night.csv", b'prompt,seed\n"an owl,8\n' + rows)

    assert "1 bad line and 0 good" in message
    assert "later ones not read" in message


def test_a_carriage_return_inside_a_line_is_refused(folder: Path) -> None:
    assert "carriage return" in refused(folder / "night.txt", b"a fox\ran owl\n")


def test_a_line_of_50_mb_is_refused_without_being_held_in_memory(folder: Path) -> None:
    with (folder / "night.txt").open("wb") as file:
        file.write(b"a fox\n")
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b"\nan owl\n")

    tracemalloc.start()
    report = check(folder / "night.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert report.rows == 2
    assert report.bad[0].line == 2
    assert f"50,000,000 bytes; use at most {MAX_LINE_BYTES:,}" in report.bad[0].reason
    assert peak < 4_000_000


def test_a_line_at_the_limit_is_no_longer_too_long(folder: Path) -> None:
    message = refused(folder / "night.txt", b"x" * MAX_LINE_BYTES + b"\r\n" + b"x" * (MAX_LINE_BYTES + 1))

    assert "line 1: prompt has 131072 characters" in message
    assert "line 2: the line has 131,073 bytes" in message


def test_a_long_file_needs_no_memory(folder: Path) -> None:
    with (folder / "night.txt").open("w") as file:
        file.writelines(f"a fox number {number}\n" for number in range(5000))

    tracemalloc.start()
    report = check(folder / "night.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert report.rows == 5000
    assert peak < 500_000  # a list of the jobs takes 1.5 MB


def test_rows_that_repeat_are_one_job_and_counted(folder: Path) -> None:
    (folder / "night.csv").write_text("id,prompt\nfox,a fox\nfox,a  fox\nowl,an owl\n")

    with open_prompt_file(str(folder / "night.csv"), io.BytesIO(), defaults=TINY) as prompts:
        report = prompts.checked()
        jobs = list(prompts.jobs("night"))

    assert (report.rows, report.duplicates) == (2, 1)
    assert [job.row for job in jobs] == ["fox", "owl"]


def test_one_id_with_different_content_is_refused_with_both_lines(folder: Path) -> None:
    message = refused(folder / "night.csv", b"id,prompt\nfox,a fox\nowl,an owl\nfox,a red fox\n")

    assert "line 4: id 'fox' stands in line 2 with different content" in message


def test_only_good_rows_become_jobs(folder: Path) -> None:
    (folder / "night.csv").write_text("id,prompt,seed\nfox,a fox,1\nowl,an owl,-1\nfox,a red fox,1\n")

    with open_prompt_file(str(folder / "night.csv"), io.BytesIO(), defaults=TINY) as prompts:
        jobs = [job.row for job in prompts.jobs("night")]

    assert jobs == ["fox"]


def test_jobs_can_be_read_again(folder: Path) -> None:
    (folder / "night.txt").write_text("a fox\nan owl\n")

    with open_prompt_file(str(folder / "night.txt"), io.BytesIO(), defaults=TINY) as prompts:
        jobs = prompts.jobs("night")

        assert list(jobs) == list(jobs)


def test_what_was_checked_is_submitted_though_the_file_changes_meanwhile(folder: Path) -> None:
    (folder / "night.txt").write_text("a fox\n")

    with open_prompt_file(str(folder / "night.txt"), io.BytesIO(), defaults=TINY) as prompts:
        prompts.checked()
        (folder / "night.txt").write_text("x" * MAX_LINE_BYTES)

        assert [job.spec.prompt for job in prompts.jobs("night")] == ["a fox"]


def test_standard_input_is_a_file_too() -> None:
    with open_prompt_file("-", io.BytesIO(b"a fox\nan owl\n"), form="txt", defaults=TINY) as prompts:
        report = prompts.checked()
        jobs = list(prompts.jobs("night"))

    assert report.rows == len(jobs) == 2
    assert prompts.batch_name == "stdin"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param("-", "standard input has no name to tell its format; say --format txt or csv", id="stdin"),
        pytest.param("night.xlsx", "does not tell its format; say --format", id="another suffix"),
        pytest.param("absent.csv", "No such file", id="absent"),
        pytest.param("folder.csv", "Is a directory", id="a folder"),
        pytest.param(".", "Is a directory", id="the folder itself"),
        pytest.param("nul\0.csv", "cannot read", id="impossible name"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told(folder: Path, name: str, advice: str) -> None:
    (folder / "folder.csv").mkdir()
    path = name if name == "-" else str(folder / name)

    with (
        pytest.raises(InvalidPromptFile, match=advice),
        open_prompt_file(path, io.BytesIO(b"a fox\n")),
    ):
        pass


def test_a_further_check_refuses_its_rows(folder: Path) -> None:
    def no_owls(spec: RenderSpec) -> None:
        if "owl" in spec.prompt:
            raise InvalidJob("no owls")

    (folder / "night.txt").write_text("a fox\nan owl\n")

    with open_prompt_file(str(folder / "night.txt"), io.BytesIO(), defaults=TINY, admit=no_owls) as prompts:
        report = prompts.check()

    assert [(item.line, item.reason) for item in report.bad] == [(2, "no owls")]


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("Night Shift (7).csv", "night-shift-7"),
        ("prompts.jsonl", "prompts"),
        ("Füchse im Schnee.txt", "fuchse-im-schnee"),
        ("夜班 7.txt", "ye-ban-7"),
        ("ночь.txt", "noch"),
        ("🦊.txt", "fox"),
        ("—.txt", "batch-bda05058"),
        ("x" * 70 + ".txt", "x" * 55 + "-c71bd109"),
    ],
)
def test_the_batch_is_named_after_the_file(folder: Path, name: str, batch: str) -> None:
    (folder / name).write_text("prompt\n")

    with open_prompt_file(str(folder / name), io.BytesIO()) as prompts:
        assert prompts.batch_name == batch
