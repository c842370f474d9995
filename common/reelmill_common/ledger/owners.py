"""Owners: their share of the farm and their cap, read and changed while it runs."""

from __future__ import annotations

from reelmill_common.jobs import Batch
from reelmill_common.ledger import views
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.records import OwnerView


class Owners(LedgerPart):
    """Reads and changes the policy of owners."""

    def get(self, name: str) -> OwnerView:
        """Return one owner; one that was never entered has the default policy."""
        (owner,) = self._server.read([("HGETALL", self._keys.owner(name))])
        return views.owner_view(name, owner)

    def all(self) -> list[OwnerView]:
        """Return all owners, by name."""
        (names,) = self._server.read([("SMEMBERS", self._keys.owners)])
        ordered = sorted(names)
        hashes = self._server.read([("HGETALL", self._keys.owner(name)) for name in ordered]) if ordered else []
        return [views.owner_view(name, owner) for name, owner in zip(ordered, hashes, strict=True)]

    def set(self, name: str, *, weight: int | None = None, max_in_flight: int | None = None) -> OwnerView:
        """Change an owner's share or cap; acts on the next clip that starts. An owner may be entered beforehand.

        Raises:
            InvalidJob: A value is out of range.
        """
        Batch(name="any", owner=name, weight=1 if weight is None else weight, max_in_flight=max_in_flight or 0)
        self._server.run("owner", name, _or_empty(weight), _or_empty(max_in_flight))
        return self.get(name)


def _or_empty(value: int | None) -> str:
    return "" if value is None else str(value)
