"""`owner`: the shares and limits of owners."""

from __future__ import annotations

from fixtures.cli import Cli
from reelmill_common.ledger import Ledger, OwnerView


def test_owner_lists_shows_and_changes(cli: Cli, night: str, ledger: Ledger) -> None:
    changed = cli("owner", "studio", "--weight", "2", "--max-in-flight", "4")

    assert changed.out == "weight 2, max in flight 4, 0 in flight\n"
    assert ledger.owners.get("studio") == OwnerView(name="studio", weight=2, max_in_flight=4, in_flight=0)
    assert cli("owner", "studio").out == changed.out
    assert [view["owner"] for view in cli("owner", "--json").json["owners"]] == ["", "studio"]
    assert cli("owner").out.splitlines()[0].split() == ["OWNER", "WEIGHT", "MAX", "IN", "FLIGHT", "IN", "FLIGHT"]


def test_an_owners_options_need_a_name(cli: Cli) -> None:
    ran = cli("owner", "--weight", "2")

    assert ran.status == 2
    assert "need the NAME of an owner" in ran.err
