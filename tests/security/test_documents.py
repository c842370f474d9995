"""Untrusted documents in the clip store and in the ledger: read within bounds, reported, and forging nothing."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from common.text.test_untrusted_json import HOSTILE, values
from fixtures.cli import Cli, Ran, cli, environment  # noqa: F401 - a fixture
from fixtures.hand import Hand
from reelmill_common.archive import newest_archive
from reelmill_common.errors import InvalidDocument, InvalidJob, NotFound
from reelmill_common.jobs import Batch, RenderJob, RenderSpec, job_id
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.views import label, read_result
from reelmill_common.notify.message_text import mail, slack
from reelmill_common.notify.notification import Notification
from reelmill_common.notify.webhooks import ReceiverKind, Webhook
from reelmill_common.recipe import ClipFacts, JobOrigin, Recipe, is_leftover, make_manifest
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store
from reelmill_common.storage.folder import FolderStore
from reelmill_common.storage.keys import clip_keys, log_key
from reelmill_producer.cli.rerender import compare
from reelmill_producer.cli.show import show_lines
from reelmill_producer.outputs.mp4_tags import read_tags
from reelmill_producer.outputs.recipes import read_recipe
from reelmill_producer.outputs.results_file import archived_results

SPEC = RenderSpec(prompt="a shy fox", profile="tiny", frames=5)
BIG = 300_000_000
"""Bytes of an object that must not be read into memory."""
FORGED = "2026-01-01 00:00:00.000  night/fox  job.succeeded"


def manifest(**changes: object) -> dict[str, Any]:
    recipe = Recipe(
        job=JobOrigin(job_id=job_id("night", "fox"), batch="night", row="fox", attempt=1, worker="gpu0@a"),
        spec=SPEC,
        model_hash="ab" * 32,
        plan={"device": "cuda", "gpu": "NVIDIA H100", "linears": "fp8"},
        versions={"torch": "2.13.0"},
        latents_sha256="cd" * 32,
    )
    clip = ClipFacts(key="x", sha256="ef" * 32, size_bytes=1, latents_sha256="cd" * 32)
    return json.loads(make_manifest(recipe, clip=clip, seconds={"text": 1.0})) | changes


def archive_lines() -> list[dict[str, Any]]:
    job = {"row": "fox", "job_id": job_id("night", "fox"), "state": "succeeded", "spec": {"seed": 7}, "error": None}
    return [{"kind": "batch"}, {"kind": "job", **job, "result": {"key": "night/fox.mp4", "sha256": "ab"}}]


@st.composite
def bent(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """A document of ours, in which some fields are something else, are missing, or stand where they do not belong."""
    found = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        place = found
        while True:
            name = draw(st.sampled_from([*place, "more"]))
            if not isinstance(place.get(name), dict) or not place[name] or draw(st.booleans()):
                break
            place = place[name]
        place[name] = draw(
            values | st.sampled_from(["", "\u202e\n", "x" * 5_000, 10**18, "../../etc", [[[]]], {"a": {}}])
        )
    return json.dumps(found).encode()


untrusted = (
    st.sampled_from(list(HOSTILE.values())) | st.binary(max_size=200) | values.map(lambda v: json.dumps(v).encode())
)


@effort(max_examples=200, deadline=None)
@given(content=untrusted | bent(manifest()))
def test_any_manifest_is_a_recipe_or_none(content: bytes) -> None:
    assert is_leftover(content, job_id="x", submitted_s=1.0) is False
    with suppress(NotFound, InvalidJob):
        recipe = read_recipe(content, "night/fox.json")
        assert recipe.recipe.spec.prompt
        assert "\n" not in "".join(f"{name}{value}" for name, value in show_lines(recipe))
        assert compare(recipe, recipe) == {}
        json.dumps(recipe.document, allow_nan=False, ensure_ascii=False).encode()


@effort(max_examples=200, deadline=None)
@given(noise=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=8)), max_size=6), content=untrusted)
def test_any_tags_are_read_or_not(noise: list[tuple[int, bytes]], content: bytes) -> None:
    def box(kind: bytes, inner: bytes) -> bytes:
        return (len(inner) + 8).to_bytes(4, "big") + kind + inner

    name = box(b"mdta", b"comment")
    meta = box(b"keys", bytes(4) + (1).to_bytes(4, "big") + name)
    meta += box(
        b"ilst", box((1).to_bytes(4, "big"), box(b"data", (1).to_bytes(4, "big") + bytes(4) + content[:100_000]))
    )
    video = bytearray(box(b"ftyp", b"isom") + box(b"moov", box(b"udta", box(b"meta", meta))))
    if not noise:
        assert read_tags(bytes(video))["comment"] == content[:100_000].decode("utf-8", "replace")
    for at, some in noise:
        video[at % len(video) : at % len(video) + len(some)] = some

    with suppress(NotFound):
        read_tags(bytes(video))
    with suppress(NotFound, InvalidJob):
        read_recipe(bytes(video), "night/fox.mp4")


@effort(max_examples=100, deadline=None)
@given(lines=st.lists(untrusted.map(lambda line: line.replace(b"\n", b" ")) | bent(archive_lines()[1]), max_size=3))
def test_any_archive_is_told_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    store = FolderStore(tmp_path_factory.mktemp("clips"))
    packed = gzip.compress(b"\n".join([json.dumps(archive_lines()[0]).encode(), *lines]), 1)
    store.put("night/archive-x.jsonl.gz", packed, content_type="application/gzip")

    with suppress(InvalidJob):
        for record in archived_results(store, newest_archive(store, "night")):
            json.dumps(record, allow_nan=False, ensure_ascii=False).encode()


@effort(max_examples=200, deadline=None)
@given(content=untrusted | bent(json.loads(Webhook.new("https://a.example/b", kind=ReceiverKind.STANDARD).encode())))
def test_whatever_lies_in_the_ledger_is_read_or_refused(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    for read in (read_result, Webhook.decode, RenderSpec.from_json):
        with suppress(InvalidDocument, InvalidJob):
            read(text)
    assert label("night", text, prompts="cut").startswith("night")
    notice = Notification(id="msg_1", type="batch.finished", body=text)
    assert json.loads(slack(notice))["text"]
    assert mail(notice, "farm@example.org", "ops@example.org")["Subject"]


def test_a_webhook_that_cannot_be_read_is_told_without_its_secret() -> None:
    with pytest.raises(InvalidDocument) as refused:
        Webhook.decode(
            '{"id": "wh_1", "kind": "carrier-pigeon", "target": "https://a.example/s3cret", "secret": "whsec_x"}'
        )

    assert "s3cret" not in f"{refused.value}{refused.value.__cause__}"
    assert "whsec" not in f"{refused.value}{refused.value.__cause__}"


@pytest.fixture
def night(settings: Settings, ledger: Ledger) -> ClipStore:
    """A batch with a clip and with a job that failed, and the store."""
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row=row, spec=SPEC) for row in ("fox", "owl")])
    hand.finish(hand.claim())
    hand.fail(hand.claim())
    return open_store(settings)


def place(store: ClipStore, key: str, content: bytes) -> None:
    store.put(key, content, content_type="application/octet-stream", replace=True)


def calm(ran: Ran, *statuses: int) -> None:
    """A command ended as it should: no bug of ours, no traceback, nothing that steers or forges."""
    assert ran.status in statuses, ran
    assert "Traceback" not in ran.err
    assert not set("\x1b\x07\x9b\u202e\u2028\r\x00") & set(ran.out + ran.err)
    assert FORGED not in (ran.out + ran.err).splitlines()


@pytest.mark.services
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_and_log_end_in_a_message(cli: Cli, night: ClipStore, content: bytes) -> None:  # noqa: F811
    place(night, clip_keys("night", "fox").manifest, content)
    place(night, log_key("night", "owl", attempt=1), content)

    shown, again, logs = cli("show", job_id("night", "fox")), cli("rerender", "night/fox"), cli("logs", "night")

    calm(shown, 65, 66)
    calm(again, 65, 66)
    calm(logs, 0)
    assert "job.failed" in logs.out
    assert content.strip() == b"" or "skipped, since they are not logs of a worker: logs/night/owl-" in logs.err


@pytest.mark.services
def test_a_log_forges_no_line_and_speaks_for_no_other_job(cli: Cli, night: ClipStore) -> None:  # noqa: F811
    lies = {
        "event": f"x\n{FORGED}",
        "timestamp": "2026-01-01T00:00:00Z\n",
        "level": f"info]  x\r\n{FORGED}",
        "batch": "other",
        "row": "elk",
        "job_id": job_id("night", "fox"),
        "attempt": 9,
        "exception": f"one\u2028{FORGED}\x85{FORGED}\n\x1b[2J\x9b31m{FORGED}",
        f"a\n{FORGED}": f"b\u2029{FORGED}",
        "time": {"deep": ["\u202e\n" + FORGED]},
    }
    odd = [
        {"timestamp": stamp, "event": 7, "level": 7}
        for stamp in ("9999-12-31T23:59:59-14:00", "0001-01-01", 5, None, "noon")
    ]
    place(night, log_key("night", "owl", attempt=1), b"\n".join(json.dumps(line).encode() for line in [lies, *odd]))
    place(night, "logs/night/owl-00000000.a1.jsonl", json.dumps({"event": "of another job"}).encode())

    plain, record = cli("logs", "night"), cli("logs", "night", "--json")

    calm(plain, 0)
    calm(record, 0)
    said = [line for line in record.jsons if line["source"] == "worker"]
    assert {(line["batch"], line["row"], line["job_id"], line["attempt"]) for line in said} == {
        ("night", "owl", job_id("night", "owl"), 1)
    }
    assert len(said) == 1 + len(odd)
    lines = [line for line in plain.out.splitlines() if not line.startswith("    ")]
    marked = [line for line in lines if "  [unknown] " in line]
    assert len(marked) == len(said)
    assert len(lines) == len(record.jsons)
    assert "of another job" not in plain.out


@pytest.mark.services
def test_an_untrusted_archive_ends_in_a_message(cli: Cli, night: ClipStore) -> None:  # noqa: F811
    lies = [
        {"row": "fox\n" + FORGED},
        {"state": "splendid"},
        {"result": {"key": "../../etc/passwd", "sha256": "x"}},
        {"result": ["night/fox.mp4"]},
        {"spec": {"seed": "\x1b[2J"}},
        {"error": "none", "result": None},
        {"job_id": None},
    ]
    for number, lie in enumerate(lies):
        lines = [archive_lines()[0], archive_lines()[1] | lie]
        place(night, f"gone{number}/archive-x.jsonl.gz", gzip.compress("\n".join(map(json.dumps, lines)).encode()))

        ran = cli("export", f"gone{number}")

        calm(ran, 65)
        assert f"gone{number}/archive-x.jsonl.gz holds what is not a job of ours" in ran.err
        assert len(ran.err) < 700


@pytest.mark.services
@pytest.mark.timeout(300)
def test_objects_of_hundreds_of_megabytes_cost_no_memory(settings: Settings, night: ClipStore) -> None:
    root = Path(settings.store_url.removeprefix("file://"))
    for key in (clip_keys("night", "fox").manifest, *(log_key("night", "owl", attempt=n) for n in range(1, 4))):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        with (root / key).open("wb") as handle:
            handle.write(b'{"event": "x"}\n' * 1_000)
            handle.truncate(BIG)
    (root / "gone").mkdir()
    with (root / "gone/archive-x.jsonl.gz").open("wb") as handle:
        for _ in range(3):
            handle.write(gzip.compress(b"\n" * 100_000_000 + json.dumps(archive_lines()[1]).encode() + b"\n", 1))
        handle.truncate(BIG)

    for args, statuses in ((["logs", "night"], {0}), (["show", "night/fox"], {65, 66}), (["export", "gone"], {65})):
        ran, peak_mb = measured(*args, env=settings.to_env())

        assert ran.status in statuses, ran
        assert "Traceback" not in ran.err
        assert peak_mb < 200


def measured(*args: str, env: dict[str, str]) -> tuple[Ran, int]:
    """Run the real program; return how it ended, and the most memory that it had, in MB."""
    code = (
        "import re, runpy, sys\n"
        "try:\n    runpy.run_module('reelmill_producer', run_name='__main__', alter_sys=True)\n"
        "finally:\n    most = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "    print('\\npeak', most, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, env=environment(env), capture_output=True, text=True, check=False, timeout=120)
    err, _, peak = done.stderr.rpartition("\npeak ")
    return Ran(status=done.returncode, out=done.stdout, err=err), int(peak) // 1024


@pytest.mark.services
def test_a_worker_whose_record_is_damaged_hides_no_other(cli: Cli, settings: Settings, night: ClipStore) -> None:  # noqa: F811
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        keys = [key for key in client.scan_iter(f"{Keys(settings.farm).prefix}worker*") if client.type(key) == "hash"]
        for key in keys:
            for name, value in client.hgetall(key).items():
                if value.startswith("{"):
                    client.hset(key, name, "[" * 100_000)

        ran = cli("status", "--json")

    calm(ran, 0)
    assert [worker["worker"] for worker in ran.json["workers"]] == ["hand@test"]
