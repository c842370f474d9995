"""Tokens: stored as hashes, refused as soon as they are revoked or too old."""

from __future__ import annotations

import hashlib
import itertools

import pytest
import redis

from fixtures.valkey import wait_for
from reelmill_common.access import Principal, Role
from reelmill_common.errors import InvalidDocument, InvalidJob, InvalidSettings, JobConflict, NotFound
from reelmill_common.ledger import EventName, Ledger
from reelmill_common.settings import Settings


def stored(settings: Settings) -> str:
    """Return all that the farm's Redis holds, as text."""
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        keys = client.keys(f"reelmill:{{{settings.farm}}}:*")
        assert keys
        read = {"hash": client.hgetall, "stream": client.xrange, "string": client.get, "set": client.smembers}
        return "".join(f"{key} {read[client.type(key)](key)}" for key in keys)


def test_a_token_says_who_holds_it(ledger: Ledger) -> None:
    ann = ledger.tokens.make("ann", Role.SUBMITTER, "ann")
    boss = ledger.tokens.make("boss", Role.OPERATOR)

    assert ledger.tokens.principal(ann) == Principal(name="ann", role=Role.SUBMITTER, owner="ann")
    assert ledger.tokens.principal(boss) == Principal(name="boss", role=Role.OPERATOR, owner=None)


def test_its_text_is_stored_nowhere_and_no_two_are_alike(ledger: Ledger, settings: Settings) -> None:
    texts = [ledger.tokens.make(f"t{number}", Role.VIEWER) for number in range(20)]
    for text in texts:
        ledger.tokens.principal(text)

    content = stored(settings)

    assert len(set(texts)) == 20
    assert hashlib.sha256(texts[0].removeprefix("rmt_").encode()).hexdigest() in content
    assert not [text for text in texts if text in content or text.removeprefix("rmt_") in content]


def test_a_revoked_token_is_refused_at_once_and_leaves_nothing(ledger: Ledger, settings: Settings) -> None:
    text = ledger.tokens.make("ann", Role.VIEWER)
    assert ledger.tokens.principal(text)

    ledger.tokens.revoke("ann")

    assert ledger.tokens.principal(text) is None
    assert ledger.tokens.all() == []
    assert [event.name for event in ledger.events.read(after="0")] == [EventName.TOKEN_ADDED, EventName.TOKEN_REVOKED]
    with pytest.raises(NotFound, match="no token 'ann'"):
        ledger.tokens.revoke("ann")


def test_an_expired_token_is_refused_listed_and_may_be_made_anew(ledger: Ledger) -> None:
    text = ledger.tokens.make("ann", Role.VIEWER, None, ledger.timetable.now().timestamp() + 1.0)
    assert [view.expires_at is not None for view in ledger.tokens.all()] == [True]

    wait_for(lambda: ledger.tokens.principal(text) is None, what="the expiry")

    assert [(view.name, view.expired) for view in ledger.tokens.all()] == [("ann", True)]
    assert ledger.tokens.principal(ledger.tokens.make("ann", Role.VIEWER))
    assert ledger.tokens.principal(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "rmt_", "rmt_" + "A" * 43, "rmt_" + "A" * 44, "A" * 43, "rmt_" + "A" * 10_000_000, "rmt_" + "é" * 43, "rmt_*"],
    ids=["empty", "prefix", "unknown", "too long", "no prefix", "huge", "not ASCII", "pattern"],
)
def test_what_is_not_a_token_is_nobodys(text: str, ledger: Ledger) -> None:
    ledger.tokens.make("ann", Role.OPERATOR)

    assert ledger.tokens.principal(text) is None


def test_a_token_that_differs_in_one_letter_is_nobodys(ledger: Ledger) -> None:
    text = ledger.tokens.make("ann", Role.OPERATOR)
    letters = itertools.product(range(4, len(text)), "aB0_-")
    changed = {f"{text[:place]}{letter}{text[place + 1 :]}" for place, letter in letters} - {text}

    assert len(changed) > 150
    assert not [other for other in changed if ledger.tokens.principal(other)]


def test_the_last_use_is_noted_on_redis_clock_and_not_at_each_request(ledger: Ledger, settings: Settings) -> None:
    text = ledger.tokens.make("ann", Role.VIEWER)
    assert ledger.tokens.all()[0].used_at is None

    ledger.tokens.principal(text)
    first = ledger.tokens.all()[0].used_at
    ledger.tokens.principal(text)

    assert first is not None
    assert ledger.tokens.all()[0].used_at == first
    assert 0 <= ledger.timetable.now().timestamp() - first < 60


def test_a_token_is_let_in_by_a_server_that_is_full(ledger: Ledger, settings: Settings) -> None:
    text = ledger.tokens.make("ann", Role.VIEWER)
    digest = hashlib.sha256(text.removeprefix("rmt_").encode()).hexdigest()
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        client.config_set("maxmemory", 1)
        try:
            assert ledger.tokens.principal(text)
        finally:
            client.config_set("maxmemory", 0)
        assert client.hget(f"reelmill:{{{settings.farm}}}:token:{digest}", "used")


def test_a_role_of_a_newer_version_is_no_key_to_anything(ledger: Ledger, settings: Settings) -> None:
    text = ledger.tokens.make("ann", Role.VIEWER)
    digest = hashlib.sha256(text.removeprefix("rmt_").encode()).hexdigest()
    with redis.Redis.from_url(settings.redis_url) as client:
        client.hset(f"reelmill:{{{settings.farm}}}:token:{digest}", "role", "emperor")

    with pytest.raises(InvalidDocument, match="'emperor', which this version lacks"):
        ledger.tokens.principal(text)


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        pytest.param(("Ann", Role.VIEWER), InvalidJob, "token 'Ann' is not usable", id="name"),
        pytest.param(("ann", Role.OPERATOR, "ann"), InvalidSettings, "leave the owner out", id="operator of an owner"),
        pytest.param(("ann", Role.SUBMITTER), InvalidSettings, "a submitter needs an owner", id="submitter of none"),
        pytest.param(("ann", Role.VIEWER, "a" * 65), InvalidJob, "use at most 64", id="long owner"),
        pytest.param(("ann", Role.VIEWER, None, 1000.0), InvalidSettings, "expired already", id="past"),
        pytest.param(("bob", Role.VIEWER), JobConflict, "token 'bob' exists already", id="taken"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    arguments: tuple[str, Role], kind: type[Exception], said: str, ledger: Ledger
) -> None:
    ledger.tokens.make("bob", Role.VIEWER)

    with pytest.raises(kind, match=said):
        ledger.tokens.make(*arguments)
    assert [view.name for view in ledger.tokens.all()] == ["bob"]
