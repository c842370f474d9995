"""A script is sent with the definitions that it uses, and with no others."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from reelmill_common.ledger.scripts import script

LUA = files("reelmill_common.ledger") / "lua"
SCRIPTS = sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name.endswith(".lua"))


def test_a_script_is_sent_without_what_it_never_calls() -> None:
    source = script("renew").source

    assert "local function load_leased(" in source
    assert "local function load_job(" in source  # which load_leased calls
    assert "local function waiting_key(" not in source


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_function_that_a_script_is_sent_with_is_called(name: str) -> None:
    source = re.sub(r"--[^\n]*", "", script(name).source)

    defined = re.findall(r"^(?:local )?function (\w+)", source, re.MULTILINE)
    assert [function for function in set(defined) if len(re.findall(rf"\b{function}\b", source)) < 2] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_function_that_a_script_calls_is_there(name: str) -> None:
    source = re.sub(r"--[^\n]*", "", script(name).source)
    parts = [path.read_text() for path in (LUA / "lib").iterdir()]
    known = set(re.findall(r"^(?:local )?function (\w+)", "\n".join(parts), re.MULTILINE))

    called = set(re.findall(r"(?<![.\w])(\w+)\(", source)) & known
    assert called <= set(re.findall(r"function (\w+)", source))
