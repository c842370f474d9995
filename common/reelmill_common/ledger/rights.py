"""The rights that a user of Redis (ACL) needs for a farm: one list, which `docs/security.md`, `doctor` and errors give.

Channels are exact. To a pattern, as Celery subscribes to, Redis compares the right letter by letter: with `&reelmill:*`
no client can subscribe to `reelmill:main:celery:/0.celeryev/*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis.exceptions import ResponseError

KEYS = "~reelmill:*"

_KEY = "K"
"""Stands for a key of the farm in the arguments below."""
LEDGER: Mapping[str, tuple[str, ...]] = {
    "info": (),
    "time": (),
    "fcall": ("f", "1", _KEY),
    "function|load": ("x",),
    **dict.fromkeys(
        (
            *("get", "exists", "mget", "llen", "strlen", "smembers", "scard", "srandmember", "zcard"),
            *("hgetall", "hkeys", "hlen", "hvals"),
            *("del", "unlink", "persist", "rpop", "zpopmin"),
        ),
        (_KEY,),
    ),
    **dict.fromkeys(
        ("hget", "hmget", "hexists", "hdel", "zscore", "zrank", "zrem", "srem", "sadd", "sismember"), (_KEY, "m")
    ),
    **dict.fromkeys(("lindex", "expire", "decrby", "incrby"), (_KEY, "1")),
    **dict.fromkeys(("lrange", "ltrim", "zrange", "zrangebyscore", "zrevrange", "zcount"), (_KEY, "0", "1")),
    **dict.fromkeys(("hset", "hsetnx", "hincrby"), (_KEY, "f", "1")),
    **dict.fromkeys(("xrange", "xrevrange"), (_KEY, "-", "+")),
    **dict.fromkeys(("set", "rpush", "lpush"), (_KEY, "1")),
    "lrem": (_KEY, "0", "m"),
    **dict.fromkeys(("hscan", "sscan"), (_KEY, "0")),
    "xread": ("STREAMS", _KEY, "0"),
    "zadd": (_KEY, "1", "m"),
    "xadd": (_KEY, "*", "f", "1"),
    "xlen": (_KEY,),
    "xinfo|stream": (_KEY,),
    "xsetid": (_KEY, "0-1"),
}
"""Commands of the ledger, in its functions too, by what to ask them with. Nothing of it is run."""
BROKER: Mapping[str, tuple[str, ...]] = {
    "brpop": (_KEY, "1"),
    "multi": (),
    "exec": (),
    "discard": (),
    "watch": (_KEY,),
    "unwatch": (),
    "publish": ("C", "x"),
    "psubscribe": ("C",),
    "punsubscribe": (),
    "eval": ("return 1", "1", _KEY),
    "evalsha": ("x", "1", _KEY),
    "script|load": ("x",),
    "script|exists": ("x",),
}
"""What Celery needs beside: queues, events, and the lock under which messages are restored."""
CONNECTION = ("auth", "hello", "ping", "select", "client|setinfo")
"""What every client needs to come in; who is in has them."""
OPTIONAL = ("waitaof",)
"""From Redis 7.2 and Valkey on: `submit` waits until jobs are on the server's disk."""

_ASKED_APART = ("multi", "exec", "discard")


def channels(farm: str, db: int) -> tuple[str, ...]:
    """Return the channels of a farm: commands to workers, and their events."""
    return tuple(f"reelmill:{farm}:celery:/{db}.{name}" for name in ("celery.pidbox", "celeryev/*"))


def rule(farm: str, db: int) -> str:
    """Return all that a user needs, as `ACL SETUSER` takes it: worker, producer and Flower alike."""
    commands = sorted({*CONNECTION, *LEDGER, *BROKER})
    return " ".join((KEYS, *(f"&{name}" for name in channels(farm, db)), *(f"+{name}" for name in commands)))


def missing(client: redis.Redis, farm: str, db: int) -> list[str]:
    """Return the rights that the client's user lacks, and the commands that the server does not have, as `-name`.

    Each command is queued in a transaction, which is then discarded: the server checks rights and runs nothing.

    Raises:
        redis.RedisError: The server does not answer.
    """
    connection = client.connection_pool.get_connection()
    try:
        (first,) = _ask(connection, [("MULTI",)])  # without it the rest would be run
        if first is not None:
            return rule(farm, db).split() if lacking(first, "multi") == "+multi" else [lacking(first, "multi")]
        commands = list(_commands(farm, db))
        answers = _ask(connection, [command for _, command in commands])
        _ask(connection, [("DISCARD",)])
        found = [
            lacking(answer, name) for (name, _), answer in zip(commands, answers, strict=True) if answer is not None
        ]
        return sorted({right for right in found if right})
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here; whatever state a refused transaction left it in
        client.connection_pool.release(connection)


def lacking(answer: Exception, subject: str) -> str:
    """Return the right that an answer asks for; empty if it is about something else.

    Args:
        answer: The server's.
        subject: Command or channel that was asked for, such as `fcall` or `&reelmill:main:…`.
    """
    text = str(answer)
    if "no permissions" not in text.lower():
        return (
            f"-{subject}"
            if subject and re.search(r"unknown (sub)?command", text, re.IGNORECASE) and not subject.startswith("&")
            else ""
        )
    if "channel" in text:
        return subject if subject.startswith("&") else "&*"
    if "run the '" in text:
        return "+" + text.partition("run the '")[2].partition("'")[0]
    return KEYS


def _commands(farm: str, db: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    key = f"reelmill:{{{farm}}}:probe"
    for name, asked in {**LEDGER, **BROKER}.items():
        if name in _ASKED_APART:
            continue
        for channel in channels(farm, db) if "C" in asked else ("",):
            command = (*name.split("|"), *(key if word == _KEY else channel if word == "C" else word for word in asked))
            yield (f"&{channel}" if channel else name, command)


def _ask(connection: Any, commands: list[tuple[str, ...]]) -> list[Exception | None]:
    connection.send_packed_command(connection.pack_commands(commands))
    answers: list[Exception | None] = []
    for _ in commands:
        try:
            connection.read_response()
            answers.append(None)
        except ResponseError as err:
            answers.append(err)
    return answers
