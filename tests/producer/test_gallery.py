"""The gallery page: complete in itself, and safe whatever a prompt holds."""

from __future__ import annotations

from fixtures.page import Page
from reelmill_common.jobs import BatchState, JobState, RenderSpec
from reelmill_common.ledger import BatchView, JobView
from reelmill_producer.clips import Clip
from reelmill_producer.gallery import Gallery

EVIL = "<script>alert('x')</script> & \"quotes\""


def page(prompt: str = "a fox") -> Page:
    batch = BatchView(
        name="night",
        state=BatchState.DONE,
        priority=5,
        weight=1,
        max_in_flight=0,
        owner="",
        counts={JobState.SUCCEEDED: 1, JobState.FAILED: 1},
        created_at=1.0,
    )
    spec = RenderSpec(prompt=prompt, profile="tiny", seed=7)
    clip = Clip(
        job_id="j1",
        batch="night",
        row="fox",
        spec=spec,
        key="night/fox-12345678.a2.mp4",
        url="file:///x",
        sha256="",
        size_bytes=1,
        latents_sha256="",
        seconds={"denoise": 1.25},
    )
    failed = JobView(
        job_id="j2",
        batch="night",
        row="owl",
        state=JobState.FAILED,
        spec=spec,
        priority=5,
        generation=1,
        attempts=3,
        error={"code": "bad_output", "message": "all frames are <black>"},
    )
    return Page(Gallery(batch=batch, clips=[clip], failed=[failed], folder="clips/").html())


def test_each_clip_is_a_video_with_its_poster_and_manifest() -> None:
    shown = page()

    (video,) = shown.all("video")
    assert video["src"] == "clips/night/fox-12345678.a2.mp4"
    assert video["poster"] == "clips/night/fox-12345678.a2.jpg"
    assert [link["href"] for link in shown.all("a")] == ["clips/night/fox-12345678.a2.json"]
    assert "seed 7" in shown.text
    assert "1 of 2 clips" in shown.text


def test_a_prompt_cannot_become_markup() -> None:
    shown = page(EVIL)

    assert shown.all("script") == []
    assert EVIL in shown.text


def test_a_failed_job_is_shown_with_its_reason() -> None:
    assert "bad_output: all frames are <black>" in page().text


def test_the_page_loads_nothing_from_elsewhere() -> None:
    shown = page()

    links = [
        str(value) for _, attributes in shown.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert [link for link in links if "://" in link] == []
    assert shown.all("link") == shown.all("script") == []
