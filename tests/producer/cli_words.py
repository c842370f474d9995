"""Command lines made of one number: right, nearly right, and wrong in every way that a person or a script finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

ODD = [
    *("", " ", "-", "--", "-1", "0", "1", "10", "1.5", "nan", "inf", "-inf", "1e999", "9" * 40, "0x10", "1_0", "٣"),
    *("none", "None", "null", "true", "*", "..", "../../etc/passwd", "/", "/dev/null", "~", "$HOME", "a b", "A", "Ä"),
    *(
        "a" * 65,
        "a" * 5000,
        "\n",
        "a\nb",
        "\r",
        "\t",
        "\x1b[31mred",
        "\x7f",
        "\u202ered",
        "\ud800",
        "\udcff",
        "\U0001f98a",
    ),
    *("{}", "[]", "{x}", "%s", "%", "'", '"', "\\", ";ls", "$(ls)", "<b>", "a:b", ":", "a,b", ",", "a=b", "@", "a@b"),
    *("redis://127.0.0.1:1/0", "file:///", "s3://", "http://", "https://[::1", "http://127.0.0.1:1/a.mp4", "5..1"),
    *("99:99", "24:00", "2026-02-30", "2026-02-30T25:00", "0001-01-01", "9999-12-31T23:59", "1e6d", "999999d", "0s"),
    *("00000000-0000-0000-0000-000000000000", "0" * 32, "wh_0", "msg_0"),
]
"""What fits nowhere, or where one would not think of it."""
FITTING: Mapping[str, Sequence[str]] = {
    "prompt": ["a fox", "an owl in the rain"],
    "seed": ["5", "0"],
    "seeds": ["1..3", "3,5,8"],
    "size": ["128x80", "80x128"],
    "frames": ["5", "9"],
    "fps": ["16"],
    "sampler": ["dmd3", "unipc3"],
    "decoder": ["tiny", "wan"],
    "profile": ["tiny", "fastwan-qad-fp8"],
    "priority": ["0", "9"],
    "form": ["txt", "csv", "jsonl", "yaml"],
    "window": ["22:00-07:00 Europe/Vienna", "Sat,Sun 00:00-24:00 UTC", "none"],
    "spec": ["22:00-07:00 Europe/Vienna", "none"],
    "owner": ["ann", "bob"],
    "weight": ["1", "7"],
    "max_in_flight": ["0", "3"],
    "max_failures": ["3", "5%", "none"],
    "start_after": ["3h", "22:00", "2026-12-24T22:00", "none"],
    "expires": ["8h", "2036-12-24T22:00", "none"],
    "finish_by": ["9h", "2036-12-24T23:00", "none"],
    "after": ["night", "dusk", "none"],
    "after_any": ["ended", "none"],
    "rate": ["2.5", "0"],
    "interval": ["0.1"],
    "since": ["7d", "2026-11-01"],
    "older": ["30d", "0s", "12h"],
    "code": ["bad_output"],
    "only": ["fox", "fox,owl"],
    "worker": ["hand@test"],
    "by": ["07:00", "2026-12-24T07:00"],
    "tz": ["Europe/Vienna", "UTC"],
    "gpu": ["RTX 3090", "H100"],
    "address": ["127.0.0.1"],
    "port": ["0"],
    "kind": ["standard", "slack", "email"],
    "event": ["batch.*", "clip.failed"],
    "target": ["https://192.0.2.1/a"],
    "count": ["1", "50"],
    "message": ["msg_1"],
    "cron": ["0 22 * * *", "*/5 0-4 1,15 * mon-fri"],
    "catch_up": ["skip", "once"],
    "devices": ["cpu"],
    "scales": ["tensor"],
    "repo": ["nobody/nothing"],
    "revision": ["main"],
}
"""By the name of the parameter. The scene adds names of what there is on the farm."""
SETTINGS: Mapping[str, Sequence[str]] = {
    "REDIS_URL": ["redis://127.0.0.1:1/0", "redis://127.0.0.1:99999/0", "redis://:x@[::1", "http://a"],
    "STORE_URL": ["file:///proc/none", "file://relative", "s3://", "s3://Bad_Bucket!/x", "file:///tmp\0"],
    "FARM": ["other", "Main", "a" * 33],
    "PROFILE": ["tiny", "none"],
    "LEASE_S": ["2", "1", "nan"],
    "RENDERER": ["fixed:0.1", "fixed:", "fixed:-1"],
    "WORKER_WINDOW": ["22:00-07:00 Europe/Vienna", "25:00-07:00 UTC"],
    "NOTIFY_ALLOW": ["127.0.0.1", "10.1.0.0/99"],
    "SMTP_URL": ["smtp://127.0.0.1:1", "smtp://127.0.0.1:x", "smtp://"],
    "SMTP_FROM": ["a@b.example", "a"],
    "MODEL_DIR": ["/nowhere", "/"],
    "STATE_DIR": ["/proc/none", "~nobody/x"],
    "PRESIGN_S": ["60", "0"],
    "CURRENCY": ["EUR", "", "a b"],
    "GPU_HOUR_PRICE": ["2.5", "inf"],
    "LOG_LEVEL": ["debug", "loud"],
    "SEDE": ["1"],
}
AT_ONCE = {"render": ["--no-wait"], "top": ["--once"], "cancel": ["--timeout", "0"]}
"""Options that every line of these commands begins with: without, they wait for a worker, or for Ctrl-C."""
REFUSED = ("up", "demo", "worker", "flower", "metrics", "serve", "pull", "tiny", "rerender", "doctor", "watch")
"""Commands that would serve, wait, download or take long: only lines that they refuse are made for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command line with the settings that are laid over the farm's."""

    names: tuple[str, ...]
    args: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict[str, str])


def make_line(random: Random, commands: Sequence[tuple[tuple[str, ...], Any]], there: Mapping[str, list[str]]) -> Line:
    """Return any command with any arguments; `there` are names that the farm knows, by parameter."""
    names, command = random.choice(commands)
    args: list[str] = []
    for parameter in (item for item in command.params if item.name not in {"wait", "timeout"}):
        for _ in range(_times(random, parameter)):
            value = word(random, parameter.name, there)
            if parameter.param_type_name == "argument":
                args.append(value)
            elif getattr(parameter, "is_flag", False):
                args.append(random.choice([*parameter.opts, *parameter.secondary_opts]))
            else:
                args += [parameter.opts[-1], value]
    if random.random() < 0.04:
        random.shuffle(args)
    if random.random() < 0.04:
        args.insert(random.randint(0, len(args)), random.choice(["--sede", "-x", "--json=1", "--help", *ODD]))
    env = {"REELMILL_" + name: _setting(random, name) for name in _some(random, [*SETTINGS])}
    if names[-1] in REFUSED:
        args = ["--sede", *args]
    args[:0] = AT_ONCE.get(names[-1], [])
    return Line(names=names, args=tuple(arg.replace("\0", "") for arg in args), env=env)


def word(random: Random, name: str, there: Mapping[str, list[str]]) -> str:
    """Return a value for a parameter: fitting mostly, or bent a little, or anything."""
    kind, known = random.random(), [*there.get(name, ()), *FITTING.get(name, ())]
    if kind > 0.85 or not known:
        return random.choice(ODD)
    value = random.choice(known)
    return bent(random, value) if kind > 0.75 else value


def bent(random: Random, text: str) -> str:
    """Return a text with one slip of the hand."""
    at = random.randint(0, len(text))
    slip = random.choice(["", text[at : at + 1] * 2, random.choice(ODD)[:3], " "])
    return text[:at] + slip + text[at + 1 :]


def _times(random: Random, parameter: Any) -> int:
    if parameter.param_type_name == "argument":
        several = 3 if parameter.nargs != 1 else 1
        return random.randint(1, several) if random.random() < 0.96 else random.choice([0, several + 1])
    asked = 0.9 if parameter.required else 0.4 if parameter.name == "json" else 0.18
    return 0 if random.random() > asked else 1 + (random.random() < 0.1)


def _some(random: Random, names: Sequence[str]) -> list[str]:
    return random.sample(names, k=random.randint(1, 2)) if random.random() < 0.08 else []


def _setting(random: Random, name: str) -> str:
    """An environment can hold neither a NUL nor a half of a pair; bytes that are not UTF-8 it can (`\\udcff`)."""
    value = random.choice([*SETTINGS[name], random.choice(ODD)]).translate({0: None, 0xD800: None})
    return value or "http://"  # nothing would mean an embedded farm, which starts a server
