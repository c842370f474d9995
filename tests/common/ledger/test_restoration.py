from __future__ import annotations

from reelmill_common.access import Role
from reelmill_common.ledger import Ledger


def test_what_is_there_by_now_stays_as_it_is(ledger: Ledger) -> None:
    ledger.owners.set("ann", weight=3)

    added = ledger.restoration.put(("owner:ann", "hash", ["weight", "2", "cap", "7"]))

    (ann,) = [owner for owner in ledger.owners.all() if owner.name == "ann"]
    assert (added, ann.weight, ann.max_in_flight) == (1, 3, 7)


def test_a_record_holds_no_use_of_a_token_and_no_count_of_an_owner(ledger: Ledger) -> None:
    text = ledger.tokens.make("ann", Role.OPERATOR)
    assert ledger.tokens.principal(text)
    ledger.owners.set("ann", weight=3)

    record = {name: members for name, _, members in ledger.restoration.record()}

    (token,) = [members for name, members in record.items() if name.startswith("token:")]
    assert "used" not in token
    assert record["owner:ann"] == ["weight", "3"]
    assert text not in str(record)
