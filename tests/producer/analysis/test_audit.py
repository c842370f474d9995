"""`reelmill audit`: what the ledger says of clips beside what is in the store, and what may be done about it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest

from fixtures.bench import Bench
from fixtures.cli import Cli
from fixtures.farm import specs
from producer.audit_steps import deliver, path_of, wipe
from reelmill_common.archive import due, prune
from reelmill_common.farm_mark import leave_mark
from reelmill_common.jobs import Batch, RenderJob
from reelmill_common.ledger import JobView, Result
from reelmill_common.storage.keys import job_stem
from reelmill_producer.analysis.audit import Audit, Discrepancy, FaultKind, remove
from reelmill_worker.child.renderer import FixedDurationRenderer
from reelmill_worker.delivery.clip_files import PendingClip


def submit_corrected(bench: Bench) -> None:
    """Submit the same rows with other words."""
    rows = [replace(spec, prompt=f"{spec.prompt}, corrected") for spec in specs(3)]
    jobs = [RenderJob(batch="night", row=f"{number:04d}", spec=spec) for number, spec in enumerate(rows)]
    bench.ledger.batches.submit(Batch(name="night"), jobs)


def found(bench: Bench) -> list[tuple[str, str, bool]]:
    audit = Audit(ledger=bench.ledger, store=bench.store)
    return [(item.kind.value, item.row, item.removable) for item in audit.of_batch("night")]


@pytest.fixture
def night(bench: Bench) -> list[Result]:
    bench.submit(3)
    return deliver(bench)


def test_what_an_earlier_life_of_the_record_left_is_told_and_removed_on_request(
    cli: Cli, bench: Bench, night: list[Result]
) -> None:
    leave_mark(bench.ledger, bench.store, bench.settings.farm)
    wipe(bench)
    submit_corrected(bench)
    second = deliver(bench)

    printed = cli("audit", "night")
    refused = cli("audit", "night", "--remove-orphans")
    removed = cli("audit", "night", "--take-over", "--remove-orphans")

    assert printed.status == 0
    found = [line for line in printed.out.splitlines() if line.startswith("superseded")]  # the worker here logs too
    assert found == [f"superseded night/000{row}: of an earlier submission of the row" for row in range(3)]
    assert "--remove-orphans removes 3 that are of no use" in printed.err
    assert (refused.status, "--take-over" in refused.err) == (78, True)
    assert removed.out.count("; removed") == 3
    assert {item.key for item in bench.store.list("night/") if item.key.endswith(".mp4")} == {
        result.key for result in second
    }
    assert cli("audit", "night").out == ""


def test_the_only_clip_of_a_row_is_kept_though_it_is_of_an_earlier_life(bench: Bench, night: list[Result]) -> None:
    wipe(bench)
    submit_corrected(bench)
    assert found(bench) == []  # all of them still run or wait
    bench.ledger.batches.cancel("night")
    bench.ledger.dispatch.reap()
    for job in bench.ledger.jobs.page("night"):
        bench.ledger.jobs.cancel(job.job_id)

    assert found(bench) == [("superseded", f"000{row}", False) for row in range(3)]


def test_clips_that_an_archive_or_another_batch_points_to_are_nobodys_orphans(
    bench: Bench, night: list[Result]
) -> None:
    (reused,) = bench.ledger.jobs.page("night", count=1)
    other = RenderJob(batch="other", row="a", spec=reused.spec)
    bench.ledger.batches.submit(Batch(name="other"), [other])
    assert bench.ledger.reuse.answer({other.job_id: reused})
    list(prune(bench.ledger, None, due(bench.ledger, 0, batch="night")))
    submit_corrected(bench)
    deliver(bench)

    assert found(bench) == [("superseded", "0001", True), ("superseded", "0002", True)]

    list(prune(bench.ledger, bench.store, due(bench.ledger, 0, batch="night")))
    bench.submit(3)
    third = deliver(bench)
    assert found(bench) == [("superseded", "0001", True), ("superseded", "0002", True)]
    assert len({result.key for result in third} & {result.key for result in night}) == 0


def test_young_objects_without_a_manifest_are_left_to_whoever_makes_them(
    cli: Cli, bench: Bench, night: list[Result]
) -> None:
    (job,) = bench.ledger.jobs.page("night", count=1)
    key = f"{job_stem('night', job.row)}.a9.mp4"
    bench.store.put(key, b"half", content_type="video/mp4")
    young = found(bench)
    os.utime(path_of(bench, key), (time.time() - 7200,) * 2)

    assert young == [("leftover", "0000", False)]
    assert found(bench) == [("leftover", "0000", True)]
    cli("audit", "night", "--remove-orphans")
    assert bench.store.head(key) is None


def test_a_leftover_that_is_adopted_since_it_was_found_is_not_removed(bench: Bench) -> None:
    lost = bench.claim()
    packed = bench.publisher.writer.write(lost, FixedDurationRenderer(seconds=0).render(lost.spec, lambda _stage: None))
    bench.publisher._upload(PendingClip(lease=bench.leases.hold(lost), rendering=None, files=packed), packed)
    bench.ledger.attempts.fail(lost.job_id, lost.token, "worker_lost", "the host died", retryable=False)
    (item,) = Audit(ledger=bench.ledger, store=bench.store).of_batch("night")
    assert item.removable

    bench.ledger.jobs.retry([lost.job_id])
    bench.ledger.dispatch.pump("tiny")
    answer = bench.job_runner().run(lost.job_id, bench.ledger.jobs.get(lost.job_id).generation)

    assert answer["outcome"] == "adopted"
    assert not remove(bench.ledger, bench.store, item)
    assert found(bench) == []


def test_a_hostile_manifest_keeps_its_objects_from_being_removed(bench: Bench, night: list[Result]) -> None:
    (job,) = bench.ledger.jobs.page("night", count=1)
    stem = job_stem("night", job.row)
    for name, body in (("a7", b"[" * 100_000), ("a8", b"{}"), ("a9", b'{"job":{"job_id":"x"},"submitted_at":[]}')):
        bench.store.put(f"{stem}.{name}.json", body, content_type="application/json")

    assert found(bench) == [("leftover", "0000", False)] * 3


def test_a_job_that_has_another_clip_by_now_is_not_queued_again(bench: Bench, night: list[Result]) -> None:
    job: JobView = bench.ledger.jobs.page("night")[0]

    assert bench.ledger.jobs.redo([(job.job_id, "night/other.mp4")]) == 0
    assert bench.ledger.jobs.redo([(job.job_id, night[0].key)]) == 1
    assert bench.ledger.jobs.redo([(job.job_id, night[0].key)]) == 0


def test_a_clip_whose_result_the_first_versions_wrote_is_queued_again_too(bench: Bench, night: list[Result]) -> None:
    job: JobView = bench.ledger.jobs.page("night")[0]
    old = {"key": night[0].key, "sha256": night[0].sha256, "size_bytes": night[0].size_bytes}
    bench.ledger._server._redis.set(bench.ledger._keys.result(job.job_id), json.dumps(old))

    assert bench.ledger.jobs.redo([(job.job_id, night[0].key)]) == 1


def test_the_words_for_what_differs_are_stable() -> None:
    item = Discrepancy(kind=FaultKind.LEFTOVER, batch="night", why="", keys=())

    assert [kind.value for kind in FaultKind] == ["missing", "altered", "superseded", "leftover", "unknown"]
    assert not item.removable
