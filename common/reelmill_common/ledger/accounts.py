"""Accounts: what the clips of owners have cost, by UTC day. They outlive the batches that they were counted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from reelmill_common.ledger import views
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.records import Account

DAY_S = 86_400


class Accounts(LedgerPart):
    """Reads accounts. The functions that end attempts write them; a batch's is in its `BatchView`."""

    def by_owner(self, *, since: float = 0.0) -> dict[str, Account]:
        """Return what each owner's clips have cost, by the owner's name.

        Args:
            since: Unix seconds; the whole of that UTC day counts.
        """
        (names,) = self._server.read([("SMEMBERS", self._keys.owners)])
        owners = sorted(names)
        hashes = self._server.read([("HGETALL", self._keys.account(owner)) for owner in owners]) if owners else []
        return {owner: _total(days, int(since // DAY_S)) for owner, days in zip(owners, hashes, strict=True)}


def _total(days: Mapping[str, str], first: int) -> Account:
    counts: Counter[str] = Counter()
    for field, number in days.items():
        day, _, name = field.partition(":")
        if int(day) >= first:
            counts[name] += int(number)
    return views.account(counts)
