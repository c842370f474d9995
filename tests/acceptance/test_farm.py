"""A farm as the README sets it up: two workers with the tiny model, one Redis, one S3 server, the real command line."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fixtures.cli import Ran, program
from fixtures.farm import Farm, specs
from fixtures.s3 import S3Server
from fixtures.valkey import wait_for
from reelmill_common.broker import make_app
from reelmill_common.jobs import JobState, job_id
from reelmill_common.ledger import JobView, WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.delivery import video

pytestmark = pytest.mark.services

PROMPTS = 40


@pytest.fixture(scope="module")
def farm(
    valkey_server: ValkeyServer, nanio_server: S3Server, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Farm]:
    """Two workers for all tests of this module: each test has a batch of its own."""
    folder = tmp_path_factory.mktemp("farm")
    settings = nanio_server.settings(
        Settings(
            redis_url=valkey_server.url,
            farm="acceptance",
            state_dir=folder / "state",
            profile="tiny",
            model_dir=str(tiny_model),
            lease_s=60.0,  # no test waits for one to end
            tick_s=0.5,
            video_threads=1,
            log_format="json",
        ),
        bucket=nanio_server.make_bucket(),
    )
    farm = Farm(settings=settings, folder=folder, env=nanio_server.credentials())
    with pytest.MonkeyPatch.context() as monkeypatch:
        nanio_server.let_in(monkeypatch)
        try:
            farm.start_all(2)
            yield farm
        finally:
            farm.close()


def reelmill(farm: Farm, *args: str) -> Ran:
    return program(*args, env=farm.settings.to_env() | dict(farm.env))


def prompt_file(folder: Path, rows: int = PROMPTS, *, frames: int = 5) -> Path:
    lines = ["id,prompt,seed,frames", *(f"fox-{row},A fox crosses river {row},{row},{frames}" for row in range(rows))]
    file = folder / "foxes.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def children(farm: Farm) -> dict[str, int]:
    return {worker.node: farm.child_pid(worker) for worker in farm.workers}


def frames_of(farm: Farm, view: JobView) -> np.ndarray:
    assert view.result is not None
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(farm.store.get(view.result.key))
        file.flush()
        return video.read_frames(Path(file.name))


def test_two_workers_store_every_clip_of_a_file_and_submitting_it_again_adds_nothing(
    farm: Farm, tmp_path: Path
) -> None:
    file = prompt_file(tmp_path)

    first = reelmill(farm, "submit", str(file), "--wait")
    again = reelmill(farm, "submit", str(file))
    changed = file.read_text().replace("A fox crosses river 7,", "An owl crosses river 7,").replace("fox-7,", "owl-7,")
    file.write_text(changed)
    changed_one = reelmill(farm, "submit", str(file), "--wait", "--json")

    assert first.status == 0, first.err
    assert first.out.strip() == "foxes"
    assert (again.status, again.out.strip()) == (0, "foxes")
    assert "nothing new" in again.err
    assert changed_one.status == 0, changed_one.err
    assert farm.ledger.batches.get("foxes").total == PROMPTS + 1
    jobs = [job_id("foxes", f"fox-{row}") for row in range(PROMPTS)] + [job_id("foxes", "owl-7")]
    farm.assert_stored_once("foxes", jobs)
    assert {farm.ledger.jobs.get(job).worker for job in jobs} == {worker.node for worker in farm.workers}
    assert farm.attempts(jobs) == PROMPTS + 1


def test_only_the_child_holds_the_model(farm: Farm) -> None:
    worker = farm.workers[0]

    in_parent = Path(f"/proc/{worker.parent_pid}/maps").read_text()
    in_child = Path(f"/proc/{farm.child_pid(worker)}/maps").read_text()

    assert "libtorch" in in_child
    assert "libtorch" not in in_parent


def test_the_parents_answer_while_their_children_render(farm: Farm) -> None:
    farm.submit("busy", specs(40, frames=81))
    farm.wait_count("busy", JobState.RUNNING, 2)

    answers = make_app(farm.settings).control.ping(timeout=30, limit=2)
    busy = farm.ledger.batches.get("busy").remaining
    farm.ledger.batches.cancel("busy")
    farm.wait_done("busy")

    assert {node for answer in answers for node in answer} == {worker.node for worker in farm.workers}
    assert busy


def test_the_same_job_twice_is_the_same_clip_and_another_seed_is_another(farm: Farm) -> None:
    (spec,) = specs(1, frames=9)
    other = dataclasses.replace(spec, seed=spec.seed + 1)
    views: list[JobView] = []
    for batch, wanted in (("once", spec), ("twice", spec), ("other", other)):
        (job,) = farm.submit(batch, [wanted])
        farm.wait_done(batch)
        views.append(farm.ledger.jobs.get(job))

    once, twice, another = views

    assert once.result is not None
    assert twice.result is not None
    assert another.result is not None
    assert once.result.latents_sha256 == twice.result.latents_sha256 != another.result.latents_sha256
    assert np.array_equal(frames_of(farm, once), frames_of(farm, twice))
    assert not np.array_equal(frames_of(farm, once), frames_of(farm, another))


def test_a_stored_clip_carries_its_recipe(farm: Farm, tmp_path: Path) -> None:
    (job,) = farm.submit("recipe", specs(1))
    farm.wait_done("recipe")
    result = farm.ledger.jobs.get(job).result
    assert result is not None
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(farm.store.get(result.key))

    recipe = video.read_recipe(clip)
    probe = video.probe(clip)

    assert recipe["job"] == {
        "job_id": job,
        "batch": "recipe",
        "row": "0000",
        "attempt": 1,
        "claim": recipe["job"]["claim"],
        "farm": farm.settings.farm,
        "worker": recipe["job"]["worker"],
    }
    assert re.fullmatch("[0-9a-f]{16}", recipe["job"]["claim"])
    assert recipe["spec"]["prompt"] == probe.tags["prompt"] == "a fox crosses river number 0"
    assert recipe["plan"]["device"] == "cpu"
    assert (probe.frames, probe.fps) == (5, 16)


def test_a_manifest_is_as_published_and_the_clip_can_be_made_again(farm: Farm, tmp_path: Path) -> None:
    schema = json.loads((Path(__file__).parents[2] / "docs/manifest.schema.json").read_text())
    farm.submit("again", specs(1, frames=5))
    farm.wait_done("again")
    (clip,) = reelmill(farm, "results", "again", "--json").jsons
    manifest = farm.store.get(clip["key"].replace(".mp4", ".json"))
    local = tmp_path / "clip.mp4"
    local.write_bytes(farm.store.get(clip["key"]))

    again = reelmill(farm, "rerender", str(local), "--same-class", "--json")
    shown = reelmill(farm, "show", clip["key"], "--json")

    jsonschema.validate(json.loads(manifest), schema, format_checker=jsonschema.FormatChecker())
    assert again.status == 0, again.err
    assert again.json["equal"] is True
    assert farm.ledger.jobs.get(again.json["job"]["job_id"]).lane.startswith("tiny@bits-")
    assert again.json["differences"] == {}
    assert shown.json == json.loads(manifest)


def test_a_cancelled_batch_stops_at_a_step_and_keeps_process_and_model(farm: Farm) -> None:
    before = children(farm)
    jobs = farm.submit("cancelled", specs(60, frames=81))
    farm.wait_count("cancelled", JobState.RUNNING, 2)

    ran = reelmill(farm, "cancel", "cancelled")
    counts = farm.ledger.batches.get("cancelled").counts
    (after,) = farm.submit("after", specs(1))
    farm.wait_done("after")

    assert ran.status == 0, ran.err
    assert "cancelled" in ran.out
    assert counts[JobState.CANCELLED] + counts[JobState.SUCCEEDED] == 60  # said only when it was so
    assert counts[JobState.CANCELLED] >= 26
    started = [job for job in jobs if farm.ledger.jobs.get(job).attempts]
    assert len(started) <= counts[JobState.SUCCEEDED] + 4  # two on the way to the store, two at a step
    assert farm.ledger.jobs.get(after).state is JobState.SUCCEEDED
    assert children(farm) == before
    assert [len(worker.events("model.loaded")) for worker in farm.workers] == [1, 1]


def test_a_prompt_beyond_512_tokens_fails_with_its_reason_and_is_not_tried_again(farm: Farm) -> None:
    long = dataclasses.replace(specs(1)[0], prompt="zq " * 600)

    (job,) = farm.submit("long", [long])
    farm.wait_done("long")

    view = farm.ledger.jobs.get(job)
    assert view.state is JobState.FAILED
    assert view.attempts == 1
    assert view.error is not None
    assert view.error["code"] == "prompt_too_long"


def test_a_child_and_a_parent_killed_in_mid_batch_lose_no_clip_and_store_none_twice(farm: Farm) -> None:
    jobs = farm.submit("killed", specs(24, frames=9))
    farm.wait_count("killed", JobState.SUCCEEDED, 4)

    os.kill(farm.child_pid(farm.workers[0]), signal.SIGKILL)
    farm.wait_count("killed", JobState.SUCCEEDED, 10)
    os.kill(farm.workers[1].parent_pid, signal.SIGKILL)
    view = farm.wait_done("killed", timeout_s=150)
    status = reelmill(farm, "status", "killed", "--json")

    assert view.counts[JobState.SUCCEEDED] == 24
    assert status.json["counts"]["succeeded"] == 24
    farm.assert_stored_once("killed", jobs)
    wait_for(
        lambda: all(view.state is WorkerState.READY for view in farm.ledger.workers.all()),
        timeout_s=90,
        what="both workers ready again",
    )


def test_a_worker_without_its_model_takes_no_job_and_ends_as_unfit(farm: Farm, tmp_path: Path) -> None:
    lonely = Farm(
        settings=dataclasses.replace(farm.settings, farm="unfit", model_dir=str(tmp_path / "empty")),
        folder=tmp_path,
        env=farm.env,
    )
    (job,) = lonely.submit("night", specs(1))

    worker = lonely.start(ready=False)
    status = worker.wait(90)

    (seen,) = lonely.ledger.workers.all()
    assert status == 69
    assert seen.state is WorkerState.QUARANTINED
    assert seen.reason.startswith("invalid_model: ")
    assert str(tmp_path / "empty") in seen.reason
    assert lonely.ledger.jobs.get(job).attempts == 0
    assert "fix it, and start `reelmill worker` again" in worker.tail()
    lonely.close()
