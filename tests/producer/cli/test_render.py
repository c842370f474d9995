"""`reelmill render`: one prompt, one clip, and what is refused before anything is enqueued."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli, started
from fixtures.hand import Hand
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


def test_without_waiting_it_prints_the_job(cli: Cli, ledger: Ledger) -> None:
    ran = cli("render", "a red fox", "--no-wait", "--seed", "7")

    job = ledger.jobs.get(ran.out.strip())
    assert ran.status == 0
    assert (job.spec.prompt, job.spec.seed, job.spec.profile) == ("a red fox", 7, "tiny")


def test_every_option_reaches_the_job(cli: Cli) -> None:
    options = ("--size", "80x128", "--frames", "33", "--fps", "24", "--sampler", "unipc3", "--decoder", "wan")

    spec = cli("render", "a red fox", "--no-wait", "--json", "--priority", "9", *options).json["spec"]

    assert spec == {
        "prompt": "a red fox",
        "seed": 1024,
        "width": 80,
        "height": 128,
        "frames": 33,
        "fps": 24,
        "sampler": "unipc3",
        "decoder": "wan",
        "profile": "tiny",
    }


def test_asking_again_names_the_same_job(cli: Cli, ledger: Ledger) -> None:
    first, again = (cli("render", "a red fox", "--no-wait") for _ in range(2))

    assert first.out == again.out
    assert [batch.total for batch in ledger.batches.all()] == [1]


def test_several_seeds_are_several_clips_of_one_batch(cli: Cli, ledger: Ledger) -> None:
    ran = cli("render", "a red fox", "--no-wait", "--seeds", "1..3,7,3", "--json")

    assert [job["spec"]["seed"] for job in ran.jsons] == [1, 2, 3, 7]
    assert [batch.total for batch in ledger.batches.all()] == [4]


def test_the_prompt_can_come_from_standard_input(cli: Cli, ledger: Ledger) -> None:
    ran = cli("render", "-", "--no-wait", stdin="a fox\nin snow\n")

    assert ledger.jobs.get(ran.out.strip()).spec.prompt == "a fox in snow"


def test_it_waits_prints_the_path_and_copies_the_clip(
    settings: Settings, hand: Hand, ledger: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "fox.mp4"
    with started("render", "a red fox", "--out", str(out), env=settings.to_env()) as render:
        render.wait_for_line("0/1 done")
        claimed = hand.claim()
        hand.finish(claimed)
        status = render.wait()

    assert (status, render.out) == (0, f"{out}\n")
    assert out.read_bytes() == b"MP4 of " + claimed.row.encode()


def test_a_failed_clip_is_told_and_asking_again_tries_again(settings: Settings, hand: Hand, ledger: Ledger) -> None:
    with started("render", "a red fox", env=settings.to_env()) as render:
        render.wait_for_line("0/1 done")
        claimed = hand.claim()
        hand.fail(claimed)
        status = render.wait()
    with started("render", "a red fox", "--no-wait", env=settings.to_env()) as again:
        again.wait()

    assert (status, render.out) == (69, "")
    assert "bad_output: all frames are black" in render.err
    assert ledger.jobs.get(claimed.job_id).state is not JobState.FAILED


@pytest.mark.parametrize(
    ("arguments", "status", "texts"),
    [
        pytest.param(("",), 65, ("prompt is empty", "give the text"), id="empty prompt"),
        pytest.param(("fox", "--frames", "82"), 65, ("frames=82", "use 81"), id="82 frames"),
        pytest.param(("fox", "--size", "833x480"), 65, ("width=833", "use 128x80"), id="width 833"),
        pytest.param(("fox", "--size", "832x480"), 65, ("not on the menu of tiny", "use 128x80"), id="not on the menu"),
        pytest.param(("fox", "--size", "large"), 65, ("--size 'large'", "for example 832x480"), id="no size"),
        pytest.param(("fox", "--seed", "-1"), 65, ("seed=-1", "use 0 to"), id="negative seed"),
        pytest.param(("fox", "--seed", "x"), 2, ("--seed",), id="no seed"),
        pytest.param(("fox", "--seeds", "8..1"), 65, ("8..1 is not a rising range",), id="falling seeds"),
        pytest.param(("fox", "--seeds", "1..9999999"), 65, ("at most 1000 seeds",), id="too many seeds"),
        pytest.param(("fox", "--seeds", "a"), 65, ("use for example 1..8 or 3,5,8",), id="no seeds"),
        pytest.param(("fox", "--seed", "1", "--seeds", "1"), 65, ("use one of them",), id="both"),
        pytest.param(("fox", "--sampler", "ddim"), 65, ("sampler='ddim'", "dmd3, unipc3"), id="sampler"),
        pytest.param(("fox", "--decoder", "vae"), 65, ("decoder='vae'", "tiny, wan"), id="decoder"),
        pytest.param(("fox", "--profile", "huge"), 78, ("'huge' is unknown", "tiny"), id="profile"),
        pytest.param(
            ("fox", "--out", "/absent/fox.mp4"), 78, ("has no folder /absent", "make it first"), id="no folder"
        ),
        pytest.param(("fox", "--seeds", "1..2", "--out", "x.mp4"), 78, ("is not a folder",), id="two into one"),
        pytest.param(("fox " * 2500,), 65, ("use at most 8192", "cut after"), id="endless prompt"),
        pytest.param((), 2, ("prompt",), id="no prompt"),
    ],
)
def test_what_cannot_be_rendered_is_refused_and_enqueues_nothing(
    cli: Cli, ledger: Ledger, arguments: tuple[str, ...], status: int, texts: tuple[str, ...]
) -> None:
    ran = cli("render", *arguments)

    assert (ran.status, ran.out) == (status, "")
    for word in texts:
        assert word in ran.err
    assert ledger.batches.all() == []
