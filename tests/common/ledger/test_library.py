"""The function library: whole, named by its text, there after a crash, and loaded by the client that misses it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from importlib.resources import files

import redis

from common.ledger_steps import begin, make_result, start_worker, submit
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.library import PARTS, library
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

LUA = files("reelmill_common.ledger") / "lua"
NAMES = sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name.endswith(".lua"))


def names_on(client: redis.Redis) -> set[str]:
    """Return the names of our libraries on the server, and of their functions."""
    return set(re.findall(r"reelmill_\w+", str(client.execute_command("FUNCTION", "LIST"))))


def test_every_shared_part_is_in_it() -> None:
    assert sorted(f"{part}.lua" for part in PARTS) == sorted(path.name for path in (LUA / "lib").iterdir())


def test_no_two_shared_functions_have_one_name() -> None:
    parts = "\n".join((LUA / "lib" / f"{part}.lua").read_text() for part in PARTS)

    names = Counter(re.findall(r"^local function (\w+)", parts, re.MULTILINE))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_server_has_a_function_for_each_file(own_valkey: ValkeyServer, settings: Settings) -> None:
    with (
        Ledger.connect(dataclasses.replace(settings, redis_url=own_valkey.url)),
        redis.Redis.from_url(own_valkey.url) as admin,
    ):
        assert names_on(admin) == {library().name, *(library().function(name) for name in NAMES)}


def test_a_server_that_lost_it_gets_it_again_in_the_middle_of_work(
    own_valkey: ValkeyServer, settings: Settings
) -> None:
    with (
        Ledger.connect(dataclasses.replace(settings, redis_url=own_valkey.url)) as ledger,
        redis.Redis.from_url(own_valkey.url) as admin,
    ):
        submit(ledger, "night", 2)
        admin.function_flush("SYNC")

        start_worker(ledger)
        claimed = begin(ledger)

        assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def test_it_is_there_after_a_crash(own_valkey: ValkeyServer, settings: Settings) -> None:
    with Ledger.connect(dataclasses.replace(settings, redis_url=own_valkey.url)) as ledger:
        assert ledger.settle()
    own_valkey.kill()

    again = ValkeyServer.start(own_valkey.folder)
    try:
        with redis.Redis.from_url(again.url) as admin:
            assert library().function("claim") in names_on(admin)
    finally:
        again.stop()


def test_one_of_another_version_is_left_alone(own_valkey: ValkeyServer, settings: Settings) -> None:
    older = library().source.replace(library().name, "reelmill_older")
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.function_load(older)
        with Ledger.connect(dataclasses.replace(settings, redis_url=own_valkey.url)) as ledger:
            submit(ledger, "night", 1)

        assert {"reelmill_older_claim", library().function("claim")} <= names_on(admin)


def test_farms_that_take_turns_on_one_server_keep_apart(settings: Settings) -> None:
    other = dataclasses.replace(settings, farm=f"{settings.farm}-other")
    with Ledger.connect(settings) as here, Ledger.connect(other) as there:
        for ledger, batch in ((here, "night"), (there, "day")):
            submit(ledger, batch, 2)
            start_worker(ledger)
        first, second = begin(here), begin(there)
        finished = [
            ledger.attempts.finish(its.job_id, its.token, make_result())
            for ledger, its in ((here, first), (there, second))
        ]

        assert finished == [True, True]
        assert [batch.name for batch in here.batches.all()] == ["night"]
        assert [batch.name for batch in there.batches.all()] == ["day"]
        assert (
            here.batches.get("night").counts[JobState.SUCCEEDED]
            == there.batches.get("day").counts[JobState.SUCCEEDED]
            == 1
        )
