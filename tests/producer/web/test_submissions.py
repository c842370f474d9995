"""Submissions: names of batches that were not named, and policy from query, body and file."""

from __future__ import annotations

import io

import pytest

from reelmill_common.access import Principal, Role
from reelmill_common.errors import JobConflict
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.web.callers import Caller
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.console import Console
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.schemas import CreateQuery, SubmitQuery
from reelmill_producer.web.submissions import create, options_of, submit
from reelmill_producer.web.uploads import Upload


def upload(text: str = "a fox\n", **policy: object) -> Upload:
    return Upload(stream=io.BytesIO(text.encode()), name="upload.txt", form="txt", policy=policy, digest=text)


def caller(settings: Settings, name: str, owner: str | None = None) -> Caller:
    console = Console(settings=settings, is_open=False, connection=FarmConnection(settings))
    role = Role.OPERATOR if owner is None else Role.SUBMITTER
    return Caller(principal=Principal(name=name, role=role, owner=owner), console=console)


def test_a_key_is_that_of_its_caller(settings: Settings, client: Reelmill) -> None:
    me, you = caller(settings, "me", "me"), caller(settings, "you", "you")

    mine = create(me, upload(), CreateQuery(), "order-1")["batch"]
    yours = create(you, upload(), CreateQuery(), "order-1")["batch"]
    again = create(me, upload(), CreateQuery(), "order-1")

    assert (again["batch"], again["unchanged"]) == (mine, 1)
    assert mine != yours
    assert (client.batch(mine).owner, client.batch(yours).owner) == ("me", "you")


def test_a_name_that_another_owner_has_is_taken(settings: Settings, client: Reelmill) -> None:
    create(caller(settings, "you", "you"), upload(), CreateQuery(batch="night"), "")

    with pytest.raises(JobConflict):
        create(caller(settings, "me", "me"), upload(), CreateQuery(batch="night"), "")
    with pytest.raises(JobConflict):
        submit(caller(settings, "me", "me"), "night", upload("an owl\n"), SubmitQuery())
    assert client.batch("night").total == 1


def test_the_query_wins_over_the_body(settings: Settings) -> None:
    options = options_of(SubmitQuery(priority=9), upload(priority=2, weight=3))

    assert (options.priority, options.weight) == (9, 3)
    with pytest.raises(Refusal, match=r"policy\.priority"):
        options_of(SubmitQuery(), upload(priority="high"))
