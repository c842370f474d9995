"""Any command line ends in success or in one clear refusal that changes nothing. `make fuzz` tries 10,000 of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
import typer.main
from structlog.testing import capture_logs

from common.ledger_audit import audit, snapshot
from fixtures.cli import Cli, Ran
from fixtures.hand import Hand
from producer.cli.test_commands import commands
from producer.cli_words import ODD, Line, bent, make_line
from producer.prompts.test_fuzz import content
from reelmill_common import errors
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.recipe import ClipFacts, JobOrigin, Recipe, make_manifest
from reelmill_common.settings import Settings
from reelmill_producer.cli import app
from reelmill_producer.cli.errors import INTERRUPTED
from reelmill_producer.prompts.formats import FORMATS

LINES = 60
"""Commands on one farm: then what commands have done to the farm is too much, and the next begins anew."""
FARMS = int(os.environ.get("FUZZ_LINES", "180")) // LINES
COMMANDS = list(commands(typer.main.get_command(app)))
STATUSES = {0, 2, INTERRUPTED} | {
    kind.exit_status for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
} - {errors.ReelmillError.exit_status}
REFUSALS = {2, 65, 66, 78}
"""With these a command has changed nothing. 69, 74 and 75 may also say how something ended that was begun."""


@pytest.fixture
def there(cli: Cli, ledger: Ledger, hand: Hand) -> dict[str, list[str]]:
    """A farm with something in every state; return what it knows, by the parameters that take it."""
    jobs = {name: submit(ledger, name) for name in ("night", "dusk", "ended")}
    for job_id in [*jobs["ended"], jobs["night"][0]]:
        finish(ledger, hand, job_id)
    hand.fail(claim(ledger, hand, jobs["night"][1]))
    claim(ledger, hand, jobs["dusk"][0])
    ledger.jobs.cancel(jobs["dusk"][1])
    ledger.batches.pause("dusk")
    ledger.owners.set("ann", weight=2)
    hook = cli("webhook", "add", "https://192.0.2.1/a", "--json").json["webhook"]
    cli("schedule", "add", "0 22 * * *", "-", "--tz", "UTC", "--name", "nightly", "--format", "txt", stdin="a fox\n")
    names, ids = [*jobs], [job_id for ids in jobs.values() for job_id in ids]
    return {
        **dict.fromkeys(("batch", "batches"), names),
        **dict.fromkeys(("target", "targets"), names + ids),
        "clip": [*ids, *(str(view.result.key) for view in ledger.jobs.page("ended") if view.result)],
        "name": ["nightly", "ann"],
        "webhook_id": [hook],
        "to": [hook],
    }


def submit(ledger: Ledger, batch: str) -> list[str]:
    rows = [
        RenderJob(batch=batch, row=row, spec=RenderSpec(prompt=f"a {row}", profile="tiny", frames=5))
        for row in ("fox", "owl", "hen", "elk")
    ]
    ledger.batches.submit(Batch(name=batch), rows)
    return [job.job_id for job in rows]


def claim(ledger: Ledger, hand: Hand, job_id: str) -> Any:
    """Take one certain job, by letting it go before all others."""
    ledger.jobs.prioritize(job_id, 9)
    ledger.workers.beat(hand.name)
    ledger.dispatch.pump("tiny", depth=10)
    return ledger.attempts.claim(job_id, ledger.jobs.get(job_id).generation, hand.name, lease_s=600)


def finish(ledger: Ledger, hand: Hand, job_id: str) -> None:
    hand.finish(claim(ledger, hand, job_id))


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Names of files lead into a folder of the test's; and the commands are built once.

    Typer's runner builds all of them anew for each line, which takes longer than to run one.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", cache(typer.main.get_command))


@pytest.mark.timeout(900)  # a shared machine may be slow, and a command that never ends is still found
@pytest.mark.parametrize("farm", range(FARMS))
def test_any_command_line_ends_in_success_or_in_a_refusal_that_changes_nothing(
    farm: int, cli: Cli, settings: Settings, there: dict[str, list[str]], tmp_path: Path
) -> None:
    ended: Counter[int] = Counter()
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        before = snapshot(client, settings.farm)
        for number in range(LINES):
            random = Random(farm * LINES + number)
            files = write_files(random, tmp_path)
            line = make_line(random, COMMANDS, there | files | {"clip": files["clip"] + there["clip"]})
            with while_shown(farm, line), capture_logs():  # the program's go to stderr; here they would be in stdout
                ran = cli(
                    *line.names,
                    *line.args,
                    env=line.env,
                    stdin=random.choice([b"", *(content(form, random) for form in FORMATS)]),
                )
                after = snapshot(client, settings.farm)
                check(line, ran)
                if ran.status in REFUSALS:
                    assert after == before
                check_submitted(ran, before, after)
                audit(after)
            before = after
            ended[ran.status] += 1
        client.unlink(*client.scan_iter(f"reelmill:{{{settings.farm}}}:*", count=10_000))

    assert ended[0] > LINES // 10, ended
    assert sum(ended[status] for status in REFUSALS) > LINES // 10, ended


@contextmanager
def while_shown(farm: int, line: Line) -> Iterator[None]:
    try:
        yield
    except BaseException as err:
        err.add_note(f"farm {farm}: reelmill {' '.join(line.names)} {line.args!r} with {line.env!r}")
        raise


def check(line: Line, ran: Ran) -> None:
    """Fail unless it ended as the docs say: a known status, a reason for people, and JSON that can be read."""
    assert ran.status in STATUSES
    assert "\x1b" not in ran.err
    if ran.status in REFUSALS:
        last = ran.err.strip().splitlines()[-1:]
        assert last, "refused without a word"
        assert "rror: " in ran.err
        assert len(ran.err) < 20_000
    options = line.args[: line.args.index("--")] if "--" in line.args else line.args
    if ran.status == 0 and "--json" in options and "--help" not in options and "-h" not in options:
        for text in ran.out.splitlines():
            json.loads(text)


def check_submitted(ran: Ran, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Fail unless as many jobs are there as were said to be added."""
    try:
        said = json.loads(ran.out)
    except ValueError:
        return
    if isinstance(said, dict) and "added" in said:
        jobs = [sum(name.startswith("job:") for name in kept) for kept in (before, after)]
        assert jobs[1] - jobs[0] == said["added"]


# -- what it found


@pytest.mark.parametrize("args", [("pause", "night"), ("resume", "dusk"), ("cancel", "night"), ("archive", "ended")])
def test_a_command_with_several_targets_does_nothing_if_one_is_not_there(
    cli: Cli, settings: Settings, there: dict[str, list[str]], args: tuple[str, str]
) -> None:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        before = snapshot(client, settings.farm)

        ran = cli(*args, "nowhere")

        assert ran.status == errors.NotFound.exit_status
        assert snapshot(client, settings.farm) == before


def test_a_submit_whose_rows_are_refused_leaves_the_batchs_policy_as_it_was(cli: Cli, ledger: Ledger) -> None:
    cli("submit", "-", "--format", "csv", "--batch", "rows", "--profile", "tiny", stdin="id,prompt\nfox,a fox\n")

    ran = cli("submit", "-", "--format", "csv", "--batch", "rows", "--weight", "7", stdin="id,prompt\nfox,an owl\n")

    assert ran.status == errors.JobConflict.exit_status
    assert ledger.batches.get("rows").weight == 1


def test_an_argument_that_is_not_utf_8_is_a_wrong_usage(cli: Cli) -> None:
    ran = cli("why", "night\udcff")

    assert ran.status == 2
    assert "is not UTF-8" in ran.err


# -- files

PATHS = ("out", "results", "folder", "into", "lora", "model", "conf", "users_file")


def write_files(random: Random, folder: Path) -> dict[str, list[str]]:
    """Write a file of every kind that commands read, right or damaged, and return where; also what is not a file."""
    form = random.choice(FORMATS)
    prompts, recipe, secret = folder / f"rows.{form}", folder / "clip.json", folder / "secret"
    prompts.write_bytes(damaged(random, content(form, random)))
    recipe.write_bytes(damaged(random, manifest(random)))
    secret.write_bytes(damaged(random, b"whsec_" + b"QUJD" * 11))
    odd = [str(folder), str(folder / "missing.txt"), "/dev/null", "-"]
    return {
        "file": [str(prompts), str(prompts), str(prompts), random.choice(odd)],
        "clip": [str(recipe), str(prompts), random.choice(odd)],
        "secret_file": [str(secret), random.choice(odd)],
        **{name: [str(folder), str(folder / "absent" / "x")] for name in PATHS},
    }


def manifest(random: Random) -> bytes:
    spec = RenderSpec(prompt="a fox", seed=4, profile="tiny", frames=5)
    job = JobOrigin(job_id="1f0a", batch="a", row="b", attempt=1, worker="cpu0@a")
    hashes = {"model_hash": "ab" * 32, "latents_sha256": "cd" * 32}
    recipe = Recipe(job=job, spec=spec, plan={"device": "cpu"}, versions={}, **hashes)
    clip = ClipFacts(key="a/b.mp4", sha256="ef" * 32, size_bytes=1, latents_sha256="cd" * 32)
    made = json.loads(make_manifest(recipe, clip=clip, seconds={"denoise": 1.1}))
    for name in random.sample([*made], k=random.randint(0, 2)):
        made[name] = random.choice([None, 1, -1.5, "x", [], {}, [made[name]], {"a": made[name]}, 10**40, True])
    return json.dumps(made).encode()


def damaged(random: Random, whole: bytes) -> bytes:
    """Return a file as it is, or cut, or in another encoding, or with something in it that does not belong."""
    at, kind = random.randint(0, len(whole)), random.random()
    if kind < 0.55:
        return whole
    if kind < 0.65:
        return whole[:at]
    if kind < 0.75:
        return whole.decode(errors="replace").encode(
            random.choice(["utf-16", "utf-8-sig", "utf-32", "utf-7"]), "replace"
        )
    if kind < 0.8:
        return bent(random, whole.decode(errors="replace")).encode(errors="surrogatepass")
    inside = [
        b"\0",
        b"\xff",
        b"9" * 5000,
        b"[" * 3000,
        b"{" * 3000,
        b"- " * 2000,
        b'"',
        b"\xed\xa0\x80",
        b"a" * 200_000,
        b"\r",
    ]
    return whole[:at] + random.choice([*inside, random.choice(ODD).encode(errors="surrogatepass")]) + whole[at:]
