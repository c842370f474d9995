"""Access: the roles of those who come in by a token, and what each may see and steer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reelmill_common.errors import NotAllowed


class Role(StrEnum):
    """What the holder of a token may do. Each may do what the one before it may."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: what a token says of its holder.

    Attributes:
        name: Name of the token.
        role: A viewer reads, a submitter also submits and steers, both what belongs to `owner`; an operator does all.
        owner: As in `Batch.owner`, where an empty text is the owner of batches that name none. None: all owners.
    """

    name: str
    role: Role
    owner: str | None = None

    @property
    def is_operator(self) -> bool:
        """Whether it may steer the farm itself: workers, owners, schedules and webhooks."""
        return self.role is Role.OPERATOR

    def may_see(self, owner: str) -> bool:
        """Whether it may read the batches of an owner. What it may not read is to be answered as if it were absent."""
        return self.owner is None or self.owner == owner

    def may_steer(self, owner: str) -> bool:
        """Whether it may submit, cancel, retry and mark what belongs to an owner."""
        return self.role is not Role.VIEWER and self.may_see(owner)

    def owner_of_new(self, asked: str | None) -> str:
        """Return the owner of a batch that it submits.

        Args:
            asked: The owner that the request names; None: it names none.

        Raises:
            NotAllowed: It may not submit, or not for that owner.
        """
        if self.role is Role.VIEWER:
            raise NotAllowed(f"the token {self.name!r} may only read; submitting needs one with the role submitter")
        if asked is None:
            return self.owner or ""
        if not self.may_see(asked):
            raise NotAllowed(f"the token {self.name!r} submits for the owner {self.owner!r} only; leave the owner out")
        return asked


OPERATOR = Principal(name="", role=Role.OPERATOR)
"""Who asks without a token where none is needed: a shell with the farm's settings, or `reelmill serve --open`."""
