"""Lists as people have them: read as they were meant, or refused with the line, the reason and what to do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.report.facts import gather
from reelmill_common.report.page import page, relative
from reelmill_producer.client import Reelmill
from reelmill_producer.prompts.columns import asked_columns
from reelmill_producer.prompts.files import PromptFile, open_prompt_file

FOX = [("a fox", 1)]


def read(path: Path, content: str | bytes, *columns: str, seeds: str = "") -> tuple[list[RenderJob], list[str]]:
    """Write a file, and return its jobs and what was assumed."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with open_prompt_file(
        str(path), io.BytesIO(), defaults={"profile": "tiny"}, columns=asked_columns(columns), seeds=seeds
    ) as prompts:
        prompts.checked()
        return jobs_of(prompts), list(prompts.reading.told())


def jobs_of(prompts: PromptFile) -> list[RenderJob]:
    return list(prompts.jobs("night"))


def refused(path: Path, content: str | bytes, *columns: str) -> str:
    with pytest.raises(InvalidPromptFile) as refusal:
        read(path, content, *columns)
    assert "nothing was submitted" in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("a.csv", "prompt;seed\na fox;1\n", "read as semicolon-separated", id="semicolons"),
        pytest.param("a.csv", "prompt\tseed\na fox\t1\n", "read as tab-separated", id="tabs"),
        pytest.param("a.csv", "prompt|seed\na fox|1\n", "read as bar-separated", id="bars"),
        pytest.param("a.csv", "sep=;\r\nprompt;seed\r\na fox;1\r\n", "", id="sep line"),
        pytest.param("a.csv", "sep=,,\r\nprompt,seed\r\na fox,1\r\n", "", id="sep line with empty cells"),
        pytest.param("a.csv", "\ufeffprompt,seed\r\na fox,1\r\n", "", id="byte order mark"),
        pytest.param("a.csv", "prompt\tseed\r\na fox\t1\r\n".encode("utf-16"), "read as UTF-16", id="UTF-16"),
        pytest.param("a.csv", "prompt,seed\r\na fox,1\r\n".encode("utf-16-be"), "read as UTF-16", id="UTF-16, no mark"),
        pytest.param("a.csv", b"prompt,seed\ra fox,1\r", "old Macs", id="carriage returns"),
        pytest.param("a.csv", " Prompt , SEED \na fox,1\n", "", id="capitals and spaces in the header"),
        pytest.param("a.csv", "Unnamed: 0,prompt,seed\n0,a fox,1\n", "left out", id="pandas' index"),
        pytest.param("a.csv", ",prompt,seed\n0,a fox,1\n", "left out", id="index without a name"),
        pytest.param("a.csv", "prompt,seed,,\n,,,\na fox,1,,\n , ,,\n", "", id="empty rows and columns"),
        pytest.param("a.csv", "prompt,seed,fps\na fox,1\n", "", id="empty cells at the end left out"),
        pytest.param("a.csv", "prompt,seed\na fox,1.0\n", "", id="number with decimals"),
        pytest.param("a.csv", "prompt,seed\na fox, 1 \n", "", id="spaces round a number"),
        pytest.param("a.csv", "video_prompt,seed\na fox,1\n", "`video_prompt` is the prompt", id="video_prompt"),
        pytest.param("a.csv", "Text,Random Seed\na fox,1\n", "`Text` is the prompt", id="text"),
        pytest.param("a.csv", "prompt,seeds\na fox,1\n", "", id="seeds"),
        pytest.param("a.json", '["a fox"]', "", id="JSON texts"),
        pytest.param("a.json", '[\n {"caption": "a fox",\n  "seed": 1}\n]\n', "`caption` is the prompt", id="JSON"),
        pytest.param("a.json", '{"prompts": [{"prompt": "a fox", "seed": 1.0}]}', "", id="JSON object with a list"),
        pytest.param("a.json", '{"prompt": "a fox",\n "seed": 1}', "", id="one JSON object"),
        pytest.param("a.json", '{"prompt": "a fox", "seed": 1}\n', "", id="JSON lines under another name"),
        pytest.param("a.jsonl", '[{"prompt": "a fox", "seed": 1}]', "", id="JSON list under another name"),
        pytest.param("a.jsonl", "[\n" + '{"prompt": "a fox", "seed": 1}\n]', "", id="JSON list over lines"),
    ],
)
def test_a_list_is_read_as_it_was_meant(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    jobs, notes = read(tmp_path / name, content)

    assert [(job.spec.prompt, job.spec.seed if "1" in str(content) else 1) for job in jobs] == FOX
    assert told in "\n".join(notes)
    assert bool(notes) == bool(told)


def test_a_tab_separated_file_keeps_quotes_that_are_part_of_the_text(tmp_path: Path) -> None:
    rows = 'Prompt\tCategory\tNote\n"Yes" on a sign, at dusk\tSigns\ta "b" c\n"a ""red"" kite"\tToys\t\n'

    jobs, notes = read(tmp_path / "party.tsv", rows)

    assert [job.spec.prompt for job in jobs] == ['"Yes" on a sign, at dusk', 'a "red" kite']
    assert [dict(job.metadata) for job in jobs] == [{"category": "Signs", "note": 'a "b" c'}, {"category": "Toys"}]
    assert notes == ["kept as metadata: `Category`, `Note`"]


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    jobs, notes = read(
        tmp_path / "a.csv", "prompt\nthe fox\u2019s den, at dawn\nSchwarzwälder Torte\n".encode("cp1252")
    )

    assert [job.spec.prompt for job in jobs] == ["the fox's den, at dawn", "Schwarzwälder Torte"]
    assert "read as Windows-1252" in notes[0]


def test_a_file_of_one_column_takes_whole_lines(tmp_path: Path) -> None:
    jobs, _ = read(tmp_path / "a.csv", 'prompt\na fox, red, at dawn\n"an owl, ""old"""\n')

    assert [job.spec.prompt for job in jobs] == ["a fox, red, at dawn", 'an owl, "old"']


def test_structures_in_json_are_kept_as_text(tmp_path: Path) -> None:
    row = {"prompt_en": "a fox", "dimension": ["motion", "color"], "info": {"color": "red"}, "n": 3, "none": None}

    jobs, notes = read(tmp_path / "a.json", json.dumps([row]))

    assert dict(jobs[0].metadata) == {"dimension": "motion, color", "info": '{"color": "red"}', "n": "3"}
    assert notes[0] == "field `prompt_en` is the prompt"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.csv", "prompt,seed\na fox,1E+03\n", "line 2: seed='1E+03' may have lost digits", id="rounded"),
        pytest.param("a.csv", "prompt,seed\na fox,1.5\n", "is not a whole number", id="fraction"),
        pytest.param("a.csv", "prompt,seed\na fox,-1\n", "asks for a random one", id="random seed"),
        pytest.param("a.jsonl", '{"prompt": "a", "seed": 1e300}', "has lost digits", id="float too large"),
        pytest.param("a.csv", "=B1,seed\n", "no prompt column; say which it is, as --column prompt=", id="no prompt"),
        pytest.param("a.csv", "a fox runs through the snow\nb\n", "reads like a row", id="no header"),
        pytest.param(
            "a.csv", 'prompt\n"=CONCAT(A1,B1)"\n', "line 2: prompt='=CONCAT(A1,B1)' is a formula", id="formula"
        ),
        pytest.param("a.csv", "prompt\n#REF!\n", "line 2: prompt='#REF!' is an error of a spreadsheet", id="error"),
        pytest.param("a.csv", "prompt,size\na fox,720p\n", "size='720p' is not WIDTHxHEIGHT", id="size"),
        pytest.param("a.csv", "prompt,size,width\na,128x80,9\n", "both given", id="size and width"),
        pytest.param("a.csv", "prompt,seed,seeds\na,1,1..2\n", "seed and seeds are both given", id="seed and seeds"),
        pytest.param("a.csv", "id,prompt\nShot 1,a fox\nshot-1,an owl\n", "id 'shot-1' stands in line 2", id="ids"),
        pytest.param("a.csv", "Prompt,prompt\na,b\n", "stands twice", id="column twice"),
        pytest.param("a.csv", "prompt,num_frames,frames\na,5,5\n", "both are the frames", id="field twice"),
        pytest.param("a.json", '[{"prompt": "a"} {"prompt": "b"}]', "not followed by a comma", id="JSON comma"),
        pytest.param("a.json", '[{"prompt": "a"},\n{"prompt": b}]', "line 2: value 2: not JSON", id="JSON broken"),
        pytest.param("a.json", '["a", 3]', "a row is an object such as", id="JSON number"),
        pytest.param("a.json", '"a fox"', "a JSON file is a list", id="JSON text"),
        pytest.param("a.json", "[" * 99_999, "nested too deeply", id="JSON nested"),
        pytest.param("a.csv", "prompt,x\na," + "y" * 5000 + "\n", "bytes, and at most 4,096", id="much metadata"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(tmp_path: Path, name: str, content: str, words: str) -> None:
    assert words in refused(tmp_path / name, content)


@pytest.mark.parametrize(
    ("number", "seed"),
    [("1024.0", 1024), ('"1,024"', 1024), ("1.024E+03", 1024), ("+7", 7), ('"1024,0"', 1024)],
)
def test_a_number_is_read_as_spreadsheets_write_it(tmp_path: Path, number: str, seed: int) -> None:
    jobs, _ = read(tmp_path / "a.csv", f"prompt,seed\na fox,{number}\n")

    assert jobs[0].spec.seed == seed


def test_a_column_is_what_a_person_says(tmp_path: Path) -> None:
    content = "prompt,caption,Sede,negative_prompt\nold,a fox,7,blurry\n"

    jobs, _ = read(tmp_path / "a.csv", content, "prompt=caption", "seed=sede", "ignore=Negative Prompt")

    assert [(job.spec.prompt, job.spec.seed) for job in jobs] == [("a fox", 7)]
    assert jobs[0].metadata == {"prompt": "old"}


@pytest.mark.parametrize("option", ["caption", "colour=caption", "prompt="])
def test_a_column_option_that_cannot_be_read_is_told(option: str) -> None:
    with pytest.raises(InvalidJob, match="is not FIELD=COLUMN; use for example prompt=caption"):
        asked_columns([option])


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    message = refused(tmp_path / "a.csv", "prompt,seed\na fox,1\n", "prompt=caption")

    assert "--column names 'caption', and the columns are prompt, seed" in message


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("negative_prompt", "blurry", "without classifier-free guidance"),
        ("guidance_scale", "5.0", "without classifier-free guidance"),
        ("num_inference_steps", "30", "distilled for 3 steps"),
        ("num_videos_per_prompt", "4", "give several seeds"),
    ],
)
def test_what_a_distilled_model_does_not_do_is_refused_with_the_reason(
    tmp_path: Path, field: str, value: str, reason: str
) -> None:
    assert reason in refused(tmp_path / "a.csv", f"prompt,{field.upper()}\na fox,{value}\n")
    assert reason in refused(tmp_path / "a.jsonl", json.dumps({"prompt": "a fox", field: value}))
    assert reason in refused(tmp_path / "a.yaml", f"- {{prompt: a fox, {field}: '{value}'}}\n")
    assert reason in refused(tmp_path / "a.yaml", f"defaults: {{{field}: '{value}'}}\njobs:\n- prompt: a fox\n")
    assert reason in refused(tmp_path / "a.yaml", f"- {{prompt: a fox, grid: {{{field}: ['{value}']}}}}\n")


def test_what_says_what_the_model_does_anyway_passes(tmp_path: Path) -> None:
    content = "prompt,negative_prompt,guidance_scale,num_inference_steps\na fox,,1.0,3\nan owl, ,0,\n"

    jobs, _ = read(tmp_path / "a.csv", content)

    assert [job.spec.prompt for job in jobs] == ["a fox", "an owl"]
    assert [job.metadata for job in jobs] == [{}, {}]


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


def test_syntax_of_other_programs_is_told(tmp_path: Path) -> None:
    _, notes = read(tmp_path / "a.txt", "a fox\n<lora:x:0.8> a fox\n(fox:1.3) in snow\nan owl at 3:1\n")

    assert [note.partition(":")[0] for note in notes] == ["line 2", "line 3"]


def test_an_id_of_any_script_is_written_as_a_key_and_kept(tmp_path: Path) -> None:
    jobs, notes = read(tmp_path / "a.csv", "id,prompt\nShot 01,a\nscène-3,b\n001,c\n镜头 2,d\n")

    assert [job.row for job in jobs] == ["shot-01", "scene-3", "001", "jing-tou-2"]
    assert [job.metadata.get("id", "") for job in jobs] == ["Shot 01", "scène-3", "", "镜头 2"]
    assert "line 2 and 2 more: an id is written with" in notes[0]


# -- metadata on its way ---------------------------------------------------------------------------------------------

LIST = "prompt,concept,Motion Level\na fox,animal,low\nan owl,<b>bird,high\n"


def test_metadata_travels_with_the_job(cli: Cli, tmp_path: Path, ledger: Ledger, hand: Hand) -> None:
    (tmp_path / "list.csv").write_text(LIST)

    ran = cli("submit", tmp_path / "list.csv", "--profile", "tiny")
    claimed = hand.claim()
    hand.finish(claimed)

    assert "kept as metadata: `concept`, `Motion Level`" in ran.err
    assert claimed.metadata == {"concept": "animal", "motion_level": "low"}
    assert cli("export", "list").json["metadata"] == claimed.metadata
    assert cli("results", "list", "--json").jsons[0]["metadata"] == claimed.metadata
    sheet = page(gather(ledger.batch("list"), ledger.every_job("list"), made_at=0), link=relative)
    assert "concept: animal" in sheet
    assert "concept: &lt;b&gt;bird" in sheet


def test_metadata_is_no_part_of_a_jobs_identity_and_the_last_word_counts(
    cli: Cli, tmp_path: Path, ledger: Ledger
) -> None:
    file = tmp_path / "list.csv"
    for content in ("prompt\na fox\nan owl\n", LIST, LIST.replace("animal", "mammal"), "prompt\na fox\nan owl\n"):
        file.write_text(content)
        cli("submit", file, "--profile", "tiny")

    assert ledger.batch("list").total == 2
    assert [job.metadata["concept"] for job in ledger.jobs("list")] == ["mammal", "<b>bird"]


def test_a_job_without_metadata_costs_no_key(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "list.csv").write_text("prompt,note\na fox,\nan owl,old\n")

    cli("submit", tmp_path / "list.csv", "--profile", "tiny")
    (keys,) = ledger._server.read([("KEYS", ledger._keys.meta("*"))])
    cli("cancel", "list")
    cli("prune", "--older", "0s", "--no-archive")
    (after,) = ledger._server.read([("KEYS", ledger._keys.meta("*"))])

    assert (len(keys), after) == (1, [])


def test_a_schedule_and_an_archive_keep_metadata(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "list.csv").write_text(LIST)
    cli("schedule", "add", "0 22 * * *", tmp_path / "list.csv", "--tz", "UTC", "--profile", "tiny")

    batch = cli("schedule", "run", "list").out.split()[-1]  # after log lines, in this process
    cli("cancel", batch)
    cli("prune", "--older", "0s")

    assert ledger.batches() == []
    assert [record["metadata"]["concept"] for record in cli("export", batch).jsons] == ["animal", "<b>bird"]


def test_the_sdk_takes_the_columns_of_other_lists(settings: object, ledger: Ledger) -> None:
    with Reelmill(settings) as farm:  # type: ignore[arg-type]  # of the fixture
        farm.submit_many([{"caption": "a fox", "num_frames": 5, "source": "mine"}], batch="sdk")
        with pytest.raises(InvalidJob, match=r"without classifier-free guidance .* Leave them out"):
            farm.submit_many([{"prompt": "a fox", "guidance_scale": 6}], batch="sdk")

        (job,) = farm.jobs("sdk")

    assert job.spec == RenderSpec(prompt="a fox", frames=5, profile="tiny")
    assert (job.row, job.metadata) == ("fox-5f-s1024", {"source": "mine"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.csv", "prompt,seed\r\na fox,1\r\n\x1a", id="Ctrl-Z in CSV"),
        pytest.param("a.jsonl", '{"prompt":"a fox","seed":1}\n\x1a\x1a', id="Ctrl-Z in JSON lines"),
        pytest.param("a.csv", "prompt,seed\na fox,1\x1a".encode("utf-16"), id="Ctrl-Z in UTF-16"),
        pytest.param("a.tsv", "prompt,seed\na fox,1\n", id="commas in .tsv"),
        pytest.param("a.tsv", "prompt;seed\na fox;1\n", id="semicolons in .tsv"),
        pytest.param("a.csv", "\u200bprompt,seed\na fox,1\n", id="unseen sign in the header"),
        pytest.param("a.csv", "prompt,seed,fps,negative_prompt\na fox,1,NaN,None\n", id="empty cells of pandas"),
        pytest.param("a.json", '[{"prompt":"a fox","seed":1,"fps":NaN,"id":null}]', id="NaN in JSON"),
        pytest.param("a.json", '{"prompt":["a fox"],"seed":[1]}', id="columns as lists"),
        pytest.param("a.json", '{"prompt":{"7":"a fox"},"seed":{"7":1}}', id="columns of pandas"),
        pytest.param("a.jsonl", '{\n "prompt": "a fox",\n "seed": 1\n}\n', id="an object over several lines"),
    ],
)
def test_what_other_programs_write_is_read_as_it_was_meant(tmp_path: Path, name: str, content: str | bytes) -> None:
    jobs, _ = read(tmp_path / name, content)

    assert [(job.spec.prompt, job.spec.seed, dict(job.metadata)) for job in jobs] == [("a fox", 1, {})]


def test_texts_are_rows_in_json_lines_as_in_a_list(tmp_path: Path) -> None:
    assert [job.spec.prompt for job in read(tmp_path / "a.jsonl", '"a fox"\n"an owl"\n')[0]] == ["a fox", "an owl"]


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("prompt,seed\na fox,1\n", "csv"),
        ("id\tcaption\tseed\n1\ta fox\t1\n", "csv"),
        ("# mine\nprompt\na fox\n", "csv"),
        ("| prompt | concept |\n|---|---|\n", "csv"),
        ('{"prompt": "a fox"}\n', "jsonl"),
        ('["a fox",\n"an owl"]\n', "jsonl"),
        ("- prompt: a fox\n", "yaml"),
    ],
)
def test_another_format_under_the_name_of_a_text_is_not_rendered_line_by_line(
    tmp_path: Path, content: str, form: str
) -> None:
    message = refused(tmp_path / "a.txt", content)

    assert f"say --format {form}, or --format txt if each line is a prompt" in message
    with open_prompt_file(str(tmp_path / "a.txt"), io.BytesIO(), form="txt", defaults={"profile": "tiny"}) as prompts:
        assert prompts.checked().rows


@pytest.mark.parametrize(
    "prompt", ["text, neon, sign", "[snow] a fox", "{fox}", "caption", "a prompt, a seed", "- a fox"]
)
def test_a_prompt_that_only_looks_like_another_format_is_one(tmp_path: Path, prompt: str) -> None:
    assert [job.spec.prompt for job in read(tmp_path / "a.txt", prompt + "\n")[0]] == [prompt]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.xlsx", b"PK\x03\x04", "save the list as CSV in UTF-8", id="spreadsheet"),
        pytest.param("a.txt", b"\n<!DOCTYPE html>\n<p>", "a web page, not a list", id="web page"),
        pytest.param("a.csv", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", id="pointer of Git LFS"),
        pytest.param("a.csv", b"prompt\na fox\ran owl\n", "a carriage return stands inside", id="carriage return"),
        pytest.param("a.csv", b"prompt\n=A1\n", "is a formula", id="reference"),
        pytest.param("a.csv", b'prompt\n"=""a fox"""\n', "is a formula", id="text as a formula"),
        pytest.param("a.csv", "prompt\n#ÜBERLAUF!\n".encode(), "is an error of a spreadsheet", id="German error"),
        pytest.param("a.csv", b"prompt\nNaN\n", "what programs write into an empty cell", id="no prompt"),
        pytest.param("a.json", b'{"columns":["prompt"],"data":[["a fox"]]}', "is a text; a JSON file is", id="split"),
        pytest.param("a.json", b"[null]", "got null", id="null"),
        pytest.param("a.csv", b"My list,\nprompt,seed\n", "or remove what stands above the line", id="title"),
    ],
)
def test_what_is_no_list_is_told_with_what_to_do(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidPromptFile) as refusal:
        read(tmp_path / name, content)

    assert words in str(refusal.value)


def test_the_advice_for_a_size_names_the_files_own_column(tmp_path: Path) -> None:
    content = "prompt,Resolution\na fox,720p\n"
    message = refused(tmp_path / "a.csv", content)

    advised = message.partition("add --column ")[2].split()[0]
    assert read(tmp_path / "a.csv", content, advised)[0][0].metadata == {"resolution": "720p"}
