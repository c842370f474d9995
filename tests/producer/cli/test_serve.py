"""The command `serve`."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from fixtures.cli import Cli, started
from fixtures.visitor import Visitor
from reelmill_common.config import extras
from reelmill_common.settings import Settings


def test_it_prints_its_address_and_answers_there_until_it_is_interrupted(settings: Settings) -> None:
    arguments = ("serve", "--open", "--port", "0", "--root-path", "/farm/", "--json")
    with started(*arguments, env=settings.to_env()) as running:
        assert running.process.stdout is not None
        shown = json.loads(running.process.stdout.readline())

        assert shown["url"].endswith("/farm/")
        assert Visitor(url=shown["url"])("GET", "farm").json["name"] == settings.farm
        running.interrupt()
        assert running.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("--open", "--address", "0.0.0.0", "--port", "0"), 78, "--open lets everyone in"),
        (("--root-path", "a b"), 2, "is not a path such as /farm"),
        (("--address", "256.1.1.1", "--port", "0"), 78, "cannot listen on 256.1.1.1"),
    ],
)
def test_what_cannot_be_served_is_told(cli: Cli, arguments: tuple[str, ...], status: int, text: str) -> None:
    ran = cli("serve", *arguments)

    assert (ran.status, text in " ".join(ran.err.split())) == (status, True), ran.err


def test_without_the_extra_it_says_how_to_install_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "fastapi" else find_spec(name))

    ran = cli("serve")

    assert ran.status == 78
    assert "reelmill[web]" in ran.err
