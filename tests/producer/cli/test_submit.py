"""`reelmill submit`: files become batches, bad ones are refused whole, and sending one again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from fixtures.cli import Cli, program
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

ROWS = "id,prompt,seed\n" + "".join(f"clip-{n},a fox crosses river {n},{n}\n" for n in range(8))


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A good file of eight rows."""
    file = tmp_path / "night.csv"
    file.write_text(ROWS)
    return file


def test_a_file_becomes_a_batch_of_its_name(cli: Cli, night: Path, ledger: Ledger) -> None:
    ran = cli("submit", night)

    assert (ran.status, ran.out) == (0, "night\n")
    assert "8 added to batch night, 0 unchanged" in ran.err
    assert [job.row for job in ledger.jobs.page("night")] == [f"clip-{n}" for n in range(8)]


def test_a_redis_that_cannot_confirm_its_disk_is_told(cli: Cli, night: Path, own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.config_set("appendonly", "no")

    ran = cli("submit", night, env={"REELMILL_REDIS_URL": own_valkey.url})

    assert ran.status == 0
    assert "Redis has not confirmed that night is on its disk (it keeps no append-only file" in ran.err


def test_submitting_it_again_enqueues_nothing_and_says_so(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night)

    ran = cli("submit", night)

    assert (ran.status, ran.out) == (0, "night\n")
    assert "nothing new: batch night has all 8 jobs already" in ran.err
    assert ledger.batches.get("night").total == 8


def test_a_new_row_adds_one(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night)
    night.write_text(ROWS + "clip-8,an owl,8\n")

    ran = cli("submit", night, "--json")

    assert (ran.json["added"], ran.json["unchanged"], ran.json["total"]) == (1, 8, 9)
    assert ledger.batches.get("night").total == 9


def test_changing_a_row_without_an_id_adds_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "night.txt").write_text("a fox\nan owl\n")
    cli("submit", tmp_path / "night.txt")
    (tmp_path / "night.txt").write_text("a fox\nan old owl\n")

    ran = cli("submit", tmp_path / "night.txt", "--json")

    assert (ran.json["added"], ran.json["unchanged"]) == (1, 1)


def test_changing_the_content_of_an_id_is_refused_and_adds_nothing(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night)
    night.write_text(ROWS.replace("river 3", "river 33") + "new,an owl,1\n")

    ran = cli("submit", night)

    assert (ran.status, ran.out) == (65, "")
    assert "batch 'night' has clip-3 already, with other content; nothing was submitted" in ran.err
    assert ledger.batches.get("night").total == 8


def test_the_json_has_stable_keys(cli: Cli, night: Path) -> None:
    ran = cli("submit", night, "--json")

    assert set(ran.json) == {
        *("batch", "state", "outcome", "priority", "weight", "max_in_flight", "owner", "total", "remaining"),
        *("window", "max_failures", "start_after", "expires_at", "finish_by", "after", "after_any"),
        *("why_paused", "waits_for", "worker_class", "counts", "created_at", "finished_at", "added", "unchanged"),
        *("reused", "duplicates", "skipped"),
    }


def test_standard_input_needs_a_format_and_may_name_its_batch(cli: Cli, ledger: Ledger) -> None:
    ran = cli("submit", "-", "--format", "txt", "--batch", "piped", stdin="a fox\nan owl\n")
    without = cli("submit", "-", stdin="a fox\n")

    assert ran.out == "piped\n"
    assert ledger.batches.get("piped").total == 2
    assert without.status == 65
    assert "say --format txt or csv or jsonl" in without.err


def test_a_dry_run_submits_nothing(cli: Cli, night: Path, ledger: Ledger) -> None:
    ran = cli("submit", night, "--dry-run")

    assert (ran.status, ran.out) == (0, "8\n")
    assert "nothing was submitted" in ran.err
    assert ledger.batches.all() == []


def test_the_good_rows_of_a_bad_file_can_be_submitted_alone(cli: Cli, night: Path, ledger: Ledger) -> None:
    night.write_text(ROWS + "clip-8,an owl,-8\nclip-0,another content,0\n")

    ran = cli("submit", night, "--skip-invalid", "--json")

    assert ran.status == 0
    assert (ran.json["added"], ran.json["skipped"]) == (8, 2)
    assert "skipped line 10: seed=-8 is out of range" in ran.err
    assert ledger.batches.get("night").total == 8


def test_a_priority_acts_on_a_batch_that_is_there_too(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night)

    cli("submit", night, "--priority", "9")

    assert ledger.batches.get("night").priority == 9


def test_an_idle_worker_gets_its_jobs_at_once(cli: Cli, night: Path, ledger: Ledger) -> None:
    ledger.workers.register("idle@test", "tiny", WorkerInfo())
    ledger.workers.ready("idle@test", WorkerInfo())

    cli("submit", night)

    assert [event.name for event in ledger.events.read(after="0")].count("job.dispatched") == 2


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param(b"prompt,frames\na fox,82\n", ("line 2", "frames=82", "use 81"), id="82 frames"),
        pytest.param(b"prompt,width,height\na fox,833,480\n", ("width=833", "use 128x80"), id="width 833"),
        pytest.param(b"prompt,seed\n,1\n", ("line 2", "prompt is empty"), id="empty prompt"),
        pytest.param(b"prompt,seed\na fox,-1\n", ("seed=-1", "use 0 to"), id="negative seed"),
        pytest.param(b"prompt,profile\na fox,huge\n", ("profile='huge'", "known are"), id="unknown profile"),
        pytest.param(b"prompt,sampler\na fox,ddim\n", ("sampler='ddim'", "dmd3, unipc3"), id="unknown sampler"),
        pytest.param(b"prompt,sead,sede\na fox,1,2\n", ("unknown column 'sede'", "Known are"), id="misspelt column"),
        pytest.param(b"id,prompt\na,fox\na,owl\n", ("line 3", "id 'a'", "of its own"), id="one id twice"),
        pytest.param(b"prompt\n\xff\xfe\n", ("line 2", "not UTF-8", "save the file"), id="invalid UTF-8"),
        pytest.param(b"", ("holds no prompts", "write one a line"), id="empty file"),
        pytest.param(b"prompt\n" + b"x" * 200_000, ("200,000 bytes", "use at most 131,072"), id="endless line"),
        pytest.param(
            b"prompt\n" + b"fox " * 2500, ("9999 characters", "use at most 8192", "cut after"), id="endless prompt"
        ),
    ],
)
def test_a_bad_file_is_refused_and_enqueues_nothing(
    cli: Cli, tmp_path: Path, ledger: Ledger, content: bytes, texts: tuple[str, ...]
) -> None:
    (tmp_path / "bad.csv").write_bytes(content)

    ran = cli("submit", tmp_path / "bad.csv")

    assert (ran.status, ran.out) == (65, "")
    assert ran.err.startswith("error: ")
    for word in texts:
        assert word in ran.err
    assert ledger.batches.all() == []


@pytest.mark.parametrize(
    ("arguments", "status", "texts"),
    [
        pytest.param(("--batch", "Night 7"), 65, ("batch 'Night 7' is not usable", "'night-7'"), id="batch name"),
        pytest.param(("--profile", "huge"), 78, ("--profile 'huge' is unknown", "tiny"), id="profile"),
        pytest.param(("--format", "xml"), 65, ("--format 'xml' is unknown", "jsonl"), id="format"),
        pytest.param(("--priority", "12"), 2, ("--priority", "9"), id="priority"),
        pytest.param(("--sped", "1"), 2, ("--sped",), id="no such option"),
    ],
)
def test_a_bad_option_is_refused(
    cli: Cli, night: Path, ledger: Ledger, arguments: tuple[str, ...], status: int, texts: tuple[str, ...]
) -> None:
    ran = cli("submit", night, *arguments)

    assert (ran.status, ran.out) == (status, "")
    for word in texts:
        assert word in ran.err
    assert ledger.batches.all() == []


def test_a_prompt_over_the_tokenizers_limit_is_refused_with_the_place(
    cli: Cli, settings: Settings, tmp_path: Path, ledger: Ledger
) -> None:
    from tokenizers import Tokenizer  # noqa: PLC0415 - only this test makes a tokenizer
    from tokenizers.models import WordLevel  # noqa: PLC0415
    from tokenizers.pre_tokenizers import Whitespace  # noqa: PLC0415

    folder = settings.state_dir / "models" / "tiny" / "tokenizer"
    folder.mkdir(parents=True)
    texts = Tokenizer(WordLevel({"[UNK]": 0, "fox": 1}, unk_token="[UNK]"))
    texts.pre_tokenizer = Whitespace()
    texts.save(str(folder / "tokenizer.json"))
    (tmp_path / "long.txt").write_text("fox " * 500 + "\n" + "fox " * 513 + "\n")

    ran = cli("submit", tmp_path / "long.txt")

    assert ran.status == 65
    assert "line 2: prompt has 513 tokens" in ran.err
    assert "it would be cut after" in ran.err
    assert "line 1" not in ran.err
    assert ledger.batches.all() == []


def test_redis_that_does_not_answer_is_told_with_its_address(night: Path, settings: Settings) -> None:
    env = settings.to_env() | {"REELMILL_REDIS_URL": "redis://:hush@127.0.0.1:1/0"}

    ran = program("submit", str(night), env=env)

    assert (ran.status, ran.out) == (75, "")
    assert "127.0.0.1:1" in ran.err
    assert "Start it, or correct REELMILL_REDIS_URL" in ran.err
    assert "hush" not in ran.err
    assert "Traceback" not in ran.err


def test_a_wrong_password_is_told_but_not_repeated(night: Path, settings: Settings) -> None:
    right = settings.redis_url.split(":")[2].split("@")[0]
    env = settings.to_env() | {"REELMILL_REDIS_URL": settings.redis_url.replace(right, "wrong-one")}

    ran = program("submit", str(night), env=env)

    assert (ran.status, ran.out) == (78, "")
    assert "refuses the password" in ran.err
    assert "wrong-one" not in ran.err
    assert "Traceback" not in ran.err


def test_every_wrong_setting_is_told_at_once(night: Path, settings: Settings) -> None:
    env = settings.to_env() | {"REELMILL_REDIS": "x", "REELMILL_LEASE_S": "soon"}

    ran = program("submit", str(night), env=env)

    assert (ran.status, ran.out) == (78, "")
    assert "REELMILL_REDIS is unknown" in ran.err
    assert "REELMILL_LEASE_S: 'soon'" in ran.err


def test_a_file_is_refused_before_redis_is_asked(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "bad.csv").write_text("prompt,frames\na fox,82\n")
    env = settings.to_env() | {"REELMILL_REDIS_URL": "redis://127.0.0.1:1/0"}

    ran = program("submit", str(tmp_path / "bad.csv"), env=env)

    assert ran.status == 65
    assert "use 81" in ran.err
