"""`token`: made, shown once, listed and revoked."""

from __future__ import annotations

import re

import pytest

from fixtures.cli import Cli
from reelmill_common.access import Principal, Role
from reelmill_common.ledger import Ledger


def test_a_token_is_printed_once_and_is_good(cli: Cli, ledger: Ledger) -> None:
    made = cli("token", "add", "ann", "--role", "submitter", "--owner", "ann", "--expires", "30d")

    text = made.out.strip()
    assert re.fullmatch(r"rmt_[A-Za-z0-9_-]{43}", text)
    assert ledger.tokens.principal(text) == Principal(name="ann", role=Role.SUBMITTER, owner="ann")
    assert "token ann: submitter of owner 'ann', expires 20" in made.err
    assert "it is not shown again" in made.err
    listed, records = cli("token", "list"), cli("token", "list", "--json")
    assert text not in listed.out + listed.err + records.out + records.err
    assert listed.out.splitlines()[1].split()[:3] == ["ann", "submitter", "ann"]
    (record,) = records.json["tokens"]
    assert (record["name"], record["role"], record["owner"], record["expired"]) == ("ann", "submitter", "ann", False)
    assert 29 < (record["expires_at"] - record["created_at"]) / 86_400 < 31
    assert record["used_at"] is not None


def test_a_revoked_token_is_gone(cli: Cli, ledger: Ledger) -> None:
    text = cli("token", "add", "robot", "--role", "operator", "--json").json["token"]
    assert ledger.tokens.principal(text)

    assert cli("token", "revoke", "robot").out == "revoked\n"

    assert ledger.tokens.principal(text) is None
    assert cli("token", "list").out == "no tokens\n"


@pytest.mark.parametrize(
    ("texts", "status", "said"),
    [
        pytest.param(("add", "eve"), 2, "--role", id="no role"),
        pytest.param(("add", "eve", "--role", "root"), 2, "viewer", id="unknown role"),
        pytest.param(("add", "eve", "--role", "submitter"), 78, "needs an owner", id="submitter of nobody"),
        pytest.param(("add", "eve", "--role", "viewer", "--expires", "soon"), 65, "--expires 'soon'", id="no time"),
        pytest.param(("add", "ann", "--role", "viewer"), 65, "exists already", id="taken"),
        pytest.param(("revoke", "anne"), 66, "did you mean 'ann'? `reelmill token list`", id="unknown"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(texts: tuple[str, ...], status: int, said: str, cli: Cli) -> None:
    cli("token", "add", "ann", "--role", "viewer")

    ran = cli("token", *texts)

    assert (ran.status, ran.out) == (status, "")
    assert said in " ".join(ran.err.split())
