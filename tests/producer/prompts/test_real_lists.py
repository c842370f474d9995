"""Lists as people have them, in every format: read as intended, or refused with the line, the reason and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from producer.prompt_steps import read, refused
from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.report.facts import gather
from reelmill_common.report.page import page, relative
from reelmill_producer.client import Reelmill

FOX = [("a fox", 1)]


@pytest.mark.parametrize(
    ("name", "content", "printed"),
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
def test_a_list_is_read_as_it_was_meant(tmp_path: Path, name: str, content: str | bytes, printed: str) -> None:
    jobs, notes = read(tmp_path / name, content)

    assert [(job.spec.prompt, job.spec.seed if "1" in str(content) else 1) for job in jobs] == FOX
    assert printed in "\n".join(notes)
    assert bool(notes) == bool(printed)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
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
def test_what_cannot_be_meant_is_refused_with_what_to_do(tmp_path: Path, name: str, content: str, texts: str) -> None:
    assert texts in refused(tmp_path / name, content)


@pytest.mark.parametrize(
    ("number", "seed"),
    [("1024.0", 1024), ('"1,024"', 1024), ("1.024E+03", 1024), ("+7", 7), ('"1024,0"', 1024)],
)
def test_a_number_is_read_as_spreadsheets_write_it(tmp_path: Path, number: str, seed: int) -> None:
    jobs, _ = read(tmp_path / "a.csv", f"prompt,seed\na fox,{number}\n")

    assert jobs[0].spec.seed == seed


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
    sheet = page(gather(ledger.batches.get("list"), ledger.jobs.every("list"), made_at=0), link=relative)
    assert "concept: animal" in sheet
    assert "concept: &lt;b&gt;bird" in sheet


def test_metadata_is_no_part_of_a_jobs_identity_and_the_last_word_counts(
    cli: Cli, tmp_path: Path, ledger: Ledger
) -> None:
    file = tmp_path / "list.csv"
    for content in ("prompt\na fox\nan owl\n", LIST, LIST.replace("animal", "mammal"), "prompt\na fox\nan owl\n"):
        file.write_text(content)
        cli("submit", file, "--profile", "tiny")

    assert ledger.batches.get("list").total == 2
    assert [job.metadata["concept"] for job in ledger.jobs.page("list")] == ["mammal", "<b>bird"]


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

    assert ledger.batches.all() == []
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


@pytest.mark.parametrize(
    ("name", "content", "texts"),
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
def test_what_is_no_list_is_told_with_what_to_do(tmp_path: Path, name: str, content: bytes, texts: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidPromptFile) as refusal:
        read(tmp_path / name, content)

    assert texts in str(refusal.value)
