"""Videos: OpenAI's own client creates, follows, fetches and deletes them, over a real server and a real ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from fixtures.farm import Farm
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from producer.video_steps import ask, client_of, served
from reelmill_common.access import Role
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, Orders
from reelmill_common.settings import Settings

# OpenAI retires its own service; its client goes on to speak the shape.
pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")]

FOX = "a red fox in the snow"


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with served(settings, console_rate=0) as url:
        yield url


@pytest.fixture
def ann(ledger: Ledger, url: str) -> OpenAI:
    """A client whose token submits for the owner ann."""
    return client_of(url, ledger.tokens.make("ann", Role.SUBMITTER, "ann"))


@pytest.mark.slow
def test_a_real_worker_makes_what_the_client_asks_for(make_farm: Callable[..., Farm], tiny_model: Path) -> None:
    farm = make_farm(model_dir=str(tiny_model), lease_s=60.0)
    farm.start()
    with served(farm.settings) as url:
        client = client_of(url, farm.ledger.tokens.make("ann", Role.SUBMITTER, "ann"))

        video = client.videos.create_and_poll(prompt=FOX, model="tiny", extra_body={"num_frames": 5})
        content = client.videos.download_content(video.id).read()
        poster = client.videos.download_content(video.id, variant="thumbnail").read()
        deleted = client.videos.delete(video.id)

    assert (video.status, video.progress, video.model, video.size) == ("completed", 100, "tiny", "128x80")
    assert (content[4:8], poster[:2]) == (b"ftyp", b"\xff\xd8")
    assert deleted.deleted
    assert not farm.ledger.jobs.find([video.id])


def test_a_video_is_a_job_of_the_owners_batch_of_the_day(ann: OpenAI, ledger: Ledger, hand: Hand) -> None:
    video = ann.videos.create(prompt=FOX, model="tiny", size="80x128", seconds="2", extra_body={"seed": 7})  # type: ignore[arg-type]

    job = ledger.jobs.get(video.id)
    assert (job.spec.prompt, job.spec.seed, job.spec.width, job.spec.height, job.spec.frames) == (FOX, 7, 80, 128, 33)
    assert job.batch == f"videos-ann-{ledger.timetable.now():%Y%m%d}"
    assert ledger.batches.get(job.batch).owner == "ann"
    assert (video.status, video.progress, video.seconds, video.size) == ("queued", 0, "2", "80x128")

    claimed = hand.claim()
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)
    running = ann.videos.retrieve(video.id)
    hand.finish(claimed)
    done = ann.videos.retrieve(video.id)

    assert (running.status, done.status, done.progress) == ("in_progress", "completed", 100)
    assert 20 < running.progress < 60
    assert done.completed_at is not None


def test_json_and_a_form_ask_for_the_same(ann: OpenAI, url: str, ledger: Ledger) -> None:
    fields = {"prompt": FOX, "model": "tiny", "seed": "3", "metadata": {"shot": "12"}}
    by_form = ann.videos.create(prompt=FOX, model="tiny", extra_body={"seed": 3, "metadata": {"shot": "12"}})
    by_json = ask(url, ann.api_key, "POST", "v1/videos", json=fields).json()

    one, two = ledger.jobs.get(by_form.id), ledger.jobs.get(by_json["id"])
    assert (one.spec, one.metadata) == (two.spec, two.metadata)
    assert one.metadata == {"shot": "12"}
    assert by_form.id != by_json["id"]


def test_each_video_has_a_seed_of_its_own_unless_one_is_asked_for(ann: OpenAI, ledger: Ledger) -> None:
    ids = [ann.videos.create(prompt=FOX, model="tiny").id for _ in range(3)]

    assert len({job.spec.seed for job in ledger.jobs.find(ids)}) == 3


def test_the_client_has_the_reason_of_a_refusal(ann: OpenAI, ledger: Ledger) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ann.videos.create(prompt=FOX, model="tiny", size="720x1280")
    with pytest.raises(openai.NotFoundError) as unknown:
        ann.videos.create(prompt=FOX, model="sora-2")
    with pytest.raises(openai.BadRequestError, match="remix is not possible"):
        ann.videos.remix("some", prompt=FOX)
    with pytest.raises(openai.BadRequestError, match="input_reference: the model makes videos from a prompt alone"):
        ann.videos.create(prompt=FOX, model="tiny", input_reference=b"JPEG")

    assert (refused.value.param, refused.value.code) == ("size", "invalid_job")
    assert "is not on the menu of tiny (128x80, 80x128); use 80x128" in refused.value.message
    assert ledger.batches.all() == []
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    assert [model.id for model in ann.models.list()] == ["fastwan-qad-fp8", "tiny"]


def test_a_request_that_is_sent_again_makes_no_second_video(ann: OpenAI, ledger: Ledger) -> None:
    key = {"Idempotency-Key": "order 7"}
    first = ann.videos.create(prompt=FOX, model="tiny", extra_headers=key)
    again = ann.videos.create(prompt=FOX, model="tiny", extra_headers=key)

    with pytest.raises(openai.ConflictError, match="used before with another request"):
        ann.videos.create(prompt="an owl", model="tiny", extra_headers=key)
    assert again.id == first.id
    assert ledger.batches.all()[0].total == 1


def test_many_that_send_one_request_at_once_get_one_video(ann: OpenAI, ledger: Ledger) -> None:
    ids: list[str] = []

    def send() -> None:
        ids.append(ann.videos.create(prompt=FOX, model="tiny", extra_headers={"Idempotency-Key": "k"}).id)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(ids), len(set(ids))) == (8, 1)


def test_the_list_goes_through_all_pages_in_either_order(ann: OpenAI) -> None:
    ids = [ann.videos.create(prompt=f"fox {number}", model="tiny").id for number in range(7)]

    newest = [video.id for video in ann.videos.list(limit=3)]
    oldest = [video.id for video in ann.videos.list(limit=2, order="asc")]
    page = ann.videos.list(limit=3, after=ids[5])

    assert newest == ids[::-1]
    assert oldest == ids
    assert ([video.id for video in page.data], page.has_more) == ([ids[4], ids[3], ids[2]], True)


def test_content_comes_in_parts_and_not_before_it_is_there(ann: OpenAI, url: str, hand: Hand) -> None:
    video = ann.videos.create(prompt=FOX, model="tiny")
    with pytest.raises(openai.NotFoundError, match="has no clip"):
        ann.videos.download_content(video.id)
    claimed = hand.claim()
    hand.finish(claimed)

    whole = ann.videos.download_content(video.id).read()
    part = ask(url, ann.api_key, "GET", f"v1/videos/{video.id}/content", headers={"Range": "bytes=4-6"})

    assert whole == b"MP4 of " + claimed.row.encode()
    assert (part.status_code, part.content) == (206, whole[4:7])
    assert part.headers["content-type"] == "video/mp4"
    assert part.headers["x-content-type-options"] == "nosniff"
    assert ann.videos.download_content(video.id, variant="thumbnail").read() == b"JPEG"
    with pytest.raises(openai.BadRequestError, match="use 'video' or 'thumbnail'"):
        ann.videos.download_content(video.id, variant="spritesheet")


def test_a_video_that_waits_is_cancelled_and_gone_when_it_is_deleted(ann: OpenAI, ledger: Ledger) -> None:
    video = ann.videos.create(prompt=FOX, model="tiny")

    assert ann.videos.delete(video.id).deleted

    assert ledger.dispatch.pump("tiny") == []
    assert list(ann.videos.list()) == []
    with pytest.raises(openai.NotFoundError):
        ann.videos.retrieve(video.id)


def test_a_video_that_is_rendered_is_gone_when_its_worker_has_stopped(ann: OpenAI, ledger: Ledger, hand: Hand) -> None:
    video = ann.videos.create(prompt=FOX, model="tiny")
    claimed = hand.claim()
    deleted: list[bool] = []

    thread = threading.Thread(target=lambda: deleted.append(ann.videos.delete(video.id).deleted))
    thread.start()
    wait_for(lambda: ledger.jobs.get(video.id).state is JobState.CANCEL_REQUESTED, what="the request")
    assert ledger.attempts.stage(claimed.job_id, claimed.token, "decode", lease_s=60) is Orders.CANCEL
    ledger.attempts.cancelled(claimed.job_id, claimed.token)
    thread.join(60)

    assert deleted == [True]
    assert not ledger.jobs.find([video.id])


def test_a_failed_and_a_cancelled_video_say_why(ann: OpenAI, ledger: Ledger, hand: Hand) -> None:
    failed, cancelled = (ann.videos.create(prompt=FOX, model="tiny") for _ in range(2))
    hand.fail(hand.claim(), "bad_output", "all frames are black")
    ledger.jobs.cancel(cancelled.id)

    one, two = ann.videos.retrieve(failed.id), ann.videos.retrieve(cancelled.id)

    assert (one.status, two.status) == ("failed", "failed")
    assert one.error is not None
    assert (one.error.code, one.error.message) == ("bad_output", "all frames are black")
    assert two.error is not None
    assert two.error.code == "cancelled"


def test_another_owner_finds_nothing_and_a_viewer_changes_nothing(ann: OpenAI, url: str, ledger: Ledger) -> None:
    video = ann.videos.create(prompt=FOX, model="tiny")
    bob = client_of(url, ledger.tokens.make("bob", Role.SUBMITTER, "bob"))
    eve = client_of(url, ledger.tokens.make("eve", Role.VIEWER, "ann"))

    for attempt in (
        lambda: bob.videos.retrieve(video.id),
        lambda: bob.videos.download_content(video.id),
        lambda: bob.videos.delete(video.id),
        lambda: bob.videos.list(after=video.id),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert list(bob.videos.list()) == []
    assert eve.videos.retrieve(video.id).id == video.id
    with pytest.raises(openai.PermissionDeniedError):
        eve.videos.delete(video.id)
    with pytest.raises(openai.PermissionDeniedError, match="may only read"):
        eve.videos.create(prompt=FOX, model="tiny")
    assert ledger.jobs.get(video.id).state is JobState.QUEUED


def test_without_a_valid_token_every_route_is_closed(url: str, ann: OpenAI, ledger: Ledger) -> None:
    video = ann.videos.create(prompt=FOX, model="tiny")
    ledger.tokens.revoke("ann")
    routes = [
        ("POST", "v1/videos"), ("GET", "v1/videos"), ("GET", f"v1/videos/{video.id}"), ("GET", "v1/models"),
        ("GET", f"v1/videos/{video.id}/content"), ("DELETE", f"v1/videos/{video.id}"), ("POST", "v1/videos/edits"),
        ("POST", f"v1/videos/{video.id}/remix"),
    ]  # fmt: skip

    kind = {"Content-Type": "application/json"}
    for method, path in routes:
        answers = [ask(url, token, method, path, headers=kind) for token in ("", "rmt_wrong", ann.api_key)]
        assert [answer.status_code for answer in answers] == [401] * 3, path
        assert {answer.json()["error"]["code"] for answer in answers} == {"invalid_api_key"}, path
        assert not [answer for answer in answers if ann.api_key in answer.text]


def test_a_job_of_another_batch_is_not_a_video(url: str, ledger: Ledger) -> None:
    client = client_of(url, ledger.tokens.make("boss", Role.OPERATOR))
    job = RenderJob(batch="night", row="fox", spec=RenderSpec(prompt=FOX, profile="tiny"))
    ledger.batches.submit(Batch(name="night"), [job])

    with pytest.raises(openai.NotFoundError, match="no video"):
        client.videos.delete(job.job_id)
    assert ledger.jobs.get(job.job_id).state is JobState.QUEUED


def test_a_name_that_another_owner_has_taken_is_passed_over(ann: OpenAI, ledger: Ledger) -> None:
    name = f"videos-ann-{ledger.timetable.now():%Y%m%d}"
    job = RenderJob(batch=name, row="mine", spec=RenderSpec(prompt=FOX, profile="tiny"))
    ledger.batches.submit(Batch(name=name, owner="mallory"), [job])

    video = ann.videos.create(prompt=FOX, model="tiny")

    assert ledger.jobs.get(video.id).batch == f"{name}-2"
    assert [one.id for one in ann.videos.list()] == [video.id]


def test_hostile_prompts_come_back_as_they_are_and_as_json_only(ann: OpenAI, url: str) -> None:
    evil = '<script>alert(1)</script> "}]; DROP TABLE --'
    video = ann.videos.create(prompt=evil, model="tiny")

    answer = ask(url, ann.api_key, "GET", f"v1/videos/{video.id}")

    assert answer.json()["prompt"] == evil
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_that_cannot_be_read_is_refused(ann: OpenAI, url: str) -> None:
    bodies = [
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}" + b" " * 1_000_000, "application/json", 413),
        (b"a fox", "text/plain", 415),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (b"--x\r\nbroken", "multipart/form-data", 400),
    ]
    for body, kind, status in bodies:
        answer = ask(url, ann.api_key, "POST", "v1/videos", content=body, headers={"Content-Type": kind})

        assert answer.status_code == status, (body[:20], kind)
        assert answer.json()["error"]["message"]
