"""What a person does in the first minutes: pipes into `head`, presses Ctrl-C, asks for the version, mistypes a name."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from fixtures.cli import Cli, started
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from reelmill_common import __version__
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

pytestmark = pytest.mark.services


def test_ctrl_c_while_a_cancel_is_confirmed_says_that_it_stands(
    settings: Settings, begun: str, hand: Hand, ledger: Ledger
) -> None:
    hand.claim()

    with started("cancel", "night", env=settings.to_env()) as command:
        wait_for(lambda: ledger.jobs.page("night", states=[JobState.CANCEL_REQUESTED]), what="the request")
        command.interrupt()
        status = command.wait()

    assert status == 130
    assert "the cancel stands" in command.err


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    assert cli("--version").out == f"reelmill {__version__}\n"


MISTYPED = [
    pytest.param("status nihgt", 66, "no batch 'nihgt'; did you mean 'night'? `reelmill status` lists", id="batch"),
    pytest.param("watch Night", 66, "did you mean 'night'?", id="watch"),
    pytest.param("cancel nigth/clip-2", 66, "no batch 'nigth'; did you mean 'night'?", id="the batch of a job"),
    pytest.param("logs nigth", 66, "did you mean 'night'?", id="logs"),
    pytest.param("export nigth", 66, "did you mean 'night'?", id="export"),
    pytest.param("download nigth here", 66, "did you mean 'night'?", id="download"),
    pytest.param("audit nigth", 66, "did you mean 'night'?", id="audit"),
    pytest.param("results nigth", 66, "did you mean 'night'?", id="results"),
    pytest.param("report nigth", 66, "did you mean 'night'?", id="report"),
    pytest.param("policy nigth", 66, "did you mean 'night'?", id="policy"),
    pytest.param("pause nigth", 66, "did you mean 'night'?", id="pause"),
    pytest.param("window nigth none", 66, "did you mean 'night'?", id="window"),
    pytest.param("why night/clip-22", 66, "no row 'clip-22'; did you mean 'clip-2'?", id="row"),
    pytest.param("retry night --only clip_1", 66, "did you mean 'clip-1'?", id="row of an option"),
    pytest.param("forgive hnad@test", 66, "did you mean 'hand@test'? known are hand@test", id="worker"),
    pytest.param("logs hand@tset", 66, "did you mean 'hand@test'?", id="logs of a worker"),
    pytest.param("schedule show nihgtly", 66, "did you mean 'nightly'? `reelmill schedule list`", id="schedule"),
    pytest.param("schedule remove nihgtly", 66, "did you mean 'nightly'?", id="schedule to remove"),
    pytest.param("accounts --owner an", 66, "did you mean 'ann'?", id="owner"),
    pytest.param("submit --profile tny a.txt", 78, "did you mean 'tiny'? known are", id="profile"),
    pytest.param("rendr 'a fox'", 2, "Did you mean 'render'", id="command"),
    pytest.param("schedule lst", 2, "Did you mean 'list'", id="command of a group"),
    pytest.param("submit --priorty 3 a.txt", 2, "--priority", id="option"),
]


@pytest.mark.parametrize(("texts", "status", "said"), MISTYPED)
def test_a_mistyped_name_is_answered_with_the_one_that_may_be_meant(
    texts: str, status: int, said: str, cli: Cli, begun: str, hand: Hand, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "nightly.txt").write_text("an owl\n")
    spec = RenderSpec(prompt="an owl", profile="tiny", frames=5)
    ledger.batches.submit(Batch(name="owls", owner="ann"), [RenderJob(batch="owls", row="owl", spec=spec)])
    for _ in range(2):
        hand.finish(hand.claim())
    cli("schedule", "add", "0 22 * * *", tmp_path / "nightly.txt", "--tz", "UTC")

    ran = cli(*shlex.split(texts))

    assert (ran.status, ran.out) == (status, "")
    assert said in " ".join(ran.err.split())


def test_a_name_that_is_like_none_is_answered_with_the_list(cli: Cli, begun: str) -> None:
    assert "no batch 'absent'; `reelmill status` lists the batches" in cli("status", "absent").err
