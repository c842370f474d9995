"""A store that refuses a running farm: people are told in the store's own words, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.cli import Cli
from fixtures.farm import Farm, specs
from fixtures.s3 import S3Server
from fixtures.s3_front import front_of
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState

pytestmark = pytest.mark.services


def test_a_store_that_refuses_is_told_by_why_and_status_until_it_takes_clips_again(
    make_farm: Callable[..., Farm], cli: Cli, nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)
    bucket = nanio_server.make_bucket()
    with front_of(nanio_server) as front:
        place = {"store_url": f"s3://{bucket}", "s3_endpoint": front.endpoint}
        farm = make_farm(renderer="fixed:0.01", profile="tiny", env=nanio_server.credentials(), **place)
        worker = farm.start()
        front.refuses = lambda _method, _headers: (400, "ExpiredToken", "The provided token has expired.")
        jobs = farm.submit("night", specs(2))

        printed = wait_for(lambda: (view := farm.worker(worker.node)) and view.trouble, what="word of the refusal")
        env = farm.settings.to_env()
        wait_for(lambda: farm.ledger.batches.get("night").counts[JobState.RUNNING], what="a clip in hand")
        why = cli("why", "night", "--json", env=env).json
        status = cli("status", env=env).out, cli("status", "night", env=env).out
        front.refuses = lambda _method, _headers: None
        farm.wait_done("night")

        assert 'ExpiredToken: "The provided token has expired."' in printed
        assert (why["cause"], "The provided token has expired." in why["sentence"]) == ("store", True)
        assert all("The provided token has expired." in text for text in status)
        farm.assert_stored_once("night", jobs)
        wait_for(lambda: not farm.worker(worker.node).trouble, what="no word of it any more")  # type: ignore[union-attr]
