"""`reelmill audit`: what differs between ledger and store, printed or as JSON, mended if it is asked for."""

from __future__ import annotations

import pytest

from fixtures.bench import Bench
from fixtures.cli import Cli
from producer.audit_steps import deliver, kinds, path_of
from reelmill_common.ledger import Result


@pytest.fixture
def night(bench: Bench) -> list[Result]:
    bench.submit(3)
    return deliver(bench)


def test_a_store_that_has_what_the_ledger_says_is_in_order(cli: Cli, night: list[Result]) -> None:
    ran = cli("audit", "night")

    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "3 clips and 9 objects compared: all is as it should be\n"


def test_what_is_missing_or_altered_is_told_and_rendered_again_if_asked_for(
    cli: Cli, bench: Bench, night: list[Result]
) -> None:
    path_of(bench, night[0].key.replace(".mp4", ".jpg")).unlink()
    path_of(bench, night[1].key).write_bytes(b"cut")
    changed = path_of(bench, night[2].key)
    changed.write_bytes(bytes(len(changed.read_bytes())))

    printed, read = cli("audit", "night"), cli("audit", "night", "--checksums", "--json")
    queued = cli("audit", "--checksums", "--requeue", "--json")
    again = deliver(bench)

    assert printed.status == 74
    assert printed.out.splitlines() == [
        "missing night/0000: not in the store: jpg",
        f"altered night/0001: 3 bytes, and {night[1].size_bytes} were published",
    ]
    assert "--requeue renders the lost clips again" in printed.err
    assert kinds(read) == ["missing", "altered", "altered", "summary"]
    assert (queued.status, queued.jsons[-1]["requeued"]) == (0, 3)
    assert {result.key for result in again}.isdisjoint({result.key for result in night})
    assert cli("audit", "night", "--checksums").err == "3 clips and 9 objects compared: all is as it should be\n"


def test_a_bucket_that_was_emptied_is_told_for_every_batch(cli: Cli, bench: Bench, night: list[Result]) -> None:
    for item in list(bench.store.list()):
        bench.store.delete(item.key)

    ran = cli("audit", "--json")

    assert ran.status == 74
    assert kinds(ran) == ["missing"] * 3 + ["summary"]
    assert min(ran.jsons[0]["keys"]).endswith(".jpg")


def test_objects_of_no_job_are_told_and_never_removed(cli: Cli, bench: Bench, night: list[Result]) -> None:
    bench.store.put("night/unknown-0badcafe.mp4", b"?", content_type="video/mp4")
    bench.store.put("gone/fox-0badcafe.mp4", b"?", content_type="video/mp4")
    bench.store.put("logs/night/fox.jsonl", b"?", content_type="application/json")

    ran = cli("audit", "--remove-orphans", "--json")

    assert [(line["kind"], line.get("keys")) for line in ran.jsons[:-1]] == [
        ("unknown", ["gone/fox-0badcafe.mp4"]),
        ("unknown", ["night/unknown-0badcafe.mp4"]),
    ]
    assert bench.store.head("night/unknown-0badcafe.mp4") is not None


def test_a_name_that_neither_side_knows_is_not_found(cli: Cli, night: list[Result]) -> None:
    ran = cli("audit", "nihgt")

    assert (ran.status, ran.out) == (66, "")
    assert "no batch 'nihgt' in the ledger or in the store" in ran.err
