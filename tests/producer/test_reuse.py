"""`--reuse`: an equal job is answered by the clip that the farm has, if it has it and it would be made so again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from common.text.test_untrusted_json import HOSTILE
from fixtures.bench import NODE, Bench
from fixtures.cli import Cli
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from reelmill_common.errors import StoreUnavailable
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, JobView, Result, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_common.storage.keys import clip_keys
from reelmill_producer.client import Reelmill
from reelmill_producer.reuse import ReuseMode

SPEC = RenderSpec(prompt="a red fox in the snow", profile="tiny", frames=5)
MODEL = "ab" * 32


@dataclass(slots=True, kw_only=True)
class Scene:
    """A farm with one hand that renders what it is told to."""

    farm: Reelmill
    hand: Hand

    def publish(self, claimed: Claimed, *, model: str = MODEL, index: bool = True) -> Result:
        """Store a clip with its manifest, as a worker does."""
        keys = clip_keys(claimed.batch, claimed.row, attempt=claimed.attempt)
        latents = hashlib.sha256(claimed.spec.to_json().encode()).hexdigest()
        manifest = json.dumps({"model_hash": model, "latents_sha256": latents}).encode()
        stored = self.farm.store.put(keys.video, b"MP4 of a fox", content_type="video/mp4")
        self.farm.store.put(keys.manifest, manifest, content_type="application/json")
        result = Result(
            key=keys.video,
            sha256=str(stored.sha256),
            size_bytes=stored.size_bytes,
            latents_sha256=latents,
            gpu_s=2.0,
            seconds={"denoise": 2.0},
        )
        assert self.farm.ledger.attempts.finish(claimed.job_id, claimed.token, result, index=index)
        return result

    def make(self, *, model: str = MODEL, index: bool = True) -> JobView:
        """Have the fox made in a batch `first`."""
        job_id = self.farm.submit(SPEC, batch="first", row="fox")
        self.publish(self.hand.claim(), model=model, index=index)
        return self.farm.job(job_id)

    def ask(self, mode: ReuseMode | None = "same", *, batch: str = "second", spec: RenderSpec = SPEC) -> JobView:
        """Ask for the fox in another batch."""
        job = RenderJob(batch=batch, row="again", spec=spec)
        self.farm.submit_jobs(Batch(name=batch), [job], reuse=mode)
        return self.farm.job(job.job_id)


@pytest.fixture
def scene(settings: Settings) -> Iterator[Scene]:
    with Reelmill(settings) as farm:
        farm.ledger.workers.register("hand@test", "tiny", WorkerInfo(model_hash=MODEL))
        farm.ledger.workers.ready("hand@test", WorkerInfo(model_hash=MODEL))
        yield Scene(farm=farm, hand=Hand(settings=settings, ledger=farm.ledger))


def test_an_equal_job_has_the_clip_at_once_and_the_store_has_it_once(scene: Scene) -> None:
    first = scene.make()

    again = scene.ask()

    assert first.result is not None
    assert again.state is JobState.SUCCEEDED
    assert again.result is not None
    assert (again.result.key, again.result.sha256) == (first.result.key, first.result.sha256)
    assert again.result.reused_from == first.job_id
    assert scene.farm.clip(again).key == first.result.key
    assert [item.key for item in scene.farm.store.list() if item.key.endswith(".mp4")] == [first.result.key]


def test_a_reused_clip_costs_nothing_and_its_batch_is_done(scene: Scene) -> None:
    scene.make()

    scene.ask()

    view = scene.farm.batch("second")
    assert (view.remaining, view.finished_at is not None) == (0, True)
    assert (view.account.clips, view.account.reused, view.account.gpu_s) == (0, 1, 0.0)
    names = [event.name for event in scene.farm.watch("second")]
    assert "job.reused" in names
    assert names[-1] == "batch.finished"


def test_a_clip_of_a_clip_is_the_first_ones(scene: Scene) -> None:
    first = scene.make()
    scene.ask()

    third = scene.ask(batch="third")

    assert third.result is not None
    assert third.result.reused_from == first.job_id


@pytest.mark.parametrize("spoil", ["unasked", "another seed", "not indexed", "deleted", "cut short", "pruned"])
def test_what_is_not_there_is_rendered(scene: Scene, spoil: str) -> None:
    first = scene.make(index=spoil != "not indexed")
    assert first.result is not None
    if spoil == "deleted":
        scene.farm.store.delete(first.result.key)
    if spoil == "cut short":
        scene.farm.store.put(first.result.key, b"MP4", content_type="video/mp4", replace=True)
    if spoil == "pruned":
        scene.farm.ledger.retention.prune_batch(scene.farm.batch("first"))
    spec = RenderSpec(prompt=SPEC.prompt, profile="tiny", frames=5, seed=2) if spoil == "another seed" else SPEC

    again = scene.ask(None if spoil == "unasked" else "same", spec=spec)

    assert again.state in (JobState.QUEUED, JobState.DISPATCHED)
    assert again.result is None


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_clip_with_an_untrusted_manifest_is_rendered_again(scene: Scene, content: bytes) -> None:
    first = scene.make()
    assert first.result is not None
    key = first.result.key.replace(".mp4", ".json")
    scene.farm.store.put(key, content, content_type="application/json", replace=True)

    again = scene.ask("same")

    assert again.result is None


def test_a_model_that_is_not_a_name_is_no_model(scene: Scene) -> None:
    first = scene.make()
    assert first.result is not None
    manifest = {"model_hash": [MODEL], "latents_sha256": first.result.latents_sha256, "plan": {"gpu": {}}}
    key = first.result.key.replace(".mp4", ".json")
    scene.farm.store.put(key, json.dumps(manifest).encode(), content_type="application/json", replace=True)

    assert scene.ask("same").result is None


def test_a_clip_of_another_model_is_reused_only_if_any_will_do(scene: Scene) -> None:
    scene.make(model="cd" * 32)

    assert scene.ask("same").result is None
    assert scene.ask("any", batch="third").state is JobState.SUCCEEDED


def test_the_model_is_that_of_the_worker_that_was_heard_of_last(scene: Scene, redis_url: str) -> None:
    scene.make()
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    prefix = f"reelmill:{{{scene.farm.settings.farm}}}:"
    client.hset(f"{prefix}worker:hand@test", "seen", 1)  # silent since 1970

    assert scene.ask().state is JobState.SUCCEEDED


def test_a_job_that_runs_is_not_taken_from_its_worker(scene: Scene) -> None:
    first = scene.make()
    job = RenderJob(batch="second", row="again", spec=SPEC)
    scene.farm.submit_jobs(Batch(name="second"), [job])
    claimed = scene.hand.claim()

    submitted = scene.farm.submit_jobs(Batch(name="second"), [job], reuse="same")

    assert submitted.reused == 0
    assert scene.farm.job(job.job_id).state is JobState.RUNNING
    scene.publish(claimed)
    assert first.result != scene.farm.job(job.job_id).result


def test_a_message_about_a_job_that_was_answered_dies_at_claim(scene: Scene) -> None:
    first = scene.make()
    job = RenderJob(batch="second", row="again", spec=SPEC)
    scene.farm.ledger.batches.submit(Batch(name="second"), [job])
    (item,) = scene.farm.ledger.dispatch.pump("tiny")

    assert scene.farm.ledger.reuse.answer({job.job_id: first}) == 1

    assert not isinstance(
        scene.farm.ledger.attempts.claim(item.job_id, item.generation, "hand@test", lease_s=5), Claimed
    )


def test_nothing_is_submitted_if_the_store_cannot_be_asked(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.make()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    away = dataclasses.replace(
        scene.farm.settings, store_url="s3://clips", s3_endpoint="http://127.0.0.1:1", s3_checksum="when_required"
    )

    with Reelmill(away) as farm, pytest.raises(StoreUnavailable):
        Scene(farm=farm, hand=scene.hand).ask()

    assert [view.name for view in scene.farm.batches()] == ["first"]


def test_the_index_forgets_what_is_pruned_and_keeps_what_others_made(scene: Scene, redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=True)

    def made() -> list[str]:
        parts = client.keys(f"reelmill:{{{scene.farm.settings.farm}}}:made:*")
        return [job for part in parts for job in client.hvals(part)]

    scene.make()
    scene.ask(None)
    scene.publish(scene.hand.claim())
    (kept,) = made()

    scene.farm.ledger.retention.prune_batch(scene.farm.batch("first"))
    assert made() == [kept]
    scene.farm.ledger.retention.prune_batch(scene.farm.batch("second"))
    assert made() == []


def test_submit_says_how_many_were_reused_and_refuses_an_unknown_mode(cli: Cli, scene: Scene, tmp_path: Path) -> None:
    scene.make()
    prompts = tmp_path / "foxes.jsonl"
    rows = [{"prompt": SPEC.prompt, "frames": 5}, {"prompt": "an owl", "frames": 5}]
    prompts.write_text("\n".join(map(json.dumps, rows)))

    ran = cli("submit", prompts, "--reuse", "same", "--json")
    wrong = cli("submit", prompts, "--reuse", "yes")

    assert (ran.json["added"], ran.json["reused"], ran.json["counts"]["succeeded"]) == (2, 1, 1)
    assert "1 answered by clips that are there" in ran.err
    assert wrong.status == 65
    assert "use same" in wrong.err


@pytest.mark.parametrize(("index", "reused"), [("on", 1), ("off", 0)])
def test_a_workers_own_clip_answers_an_equal_job(make_bench: Callable[..., Bench], index: str, reused: int) -> None:
    bench = make_bench(reuse_index=index)
    bench.ledger.workers.ready(NODE, WorkerInfo(model_hash="none"))
    ((job_id, generation),) = bench.submit()
    bench.job_runner().run(job_id, generation)
    first = wait_for(lambda: bench.ends(job_id), what="the clip")
    job = RenderJob(batch="second", row="again", spec=first.spec)

    with Reelmill(bench.settings) as farm:
        submitted = farm.submit_jobs(Batch(name="second"), [job], reuse="same")

    assert submitted.reused == reused
