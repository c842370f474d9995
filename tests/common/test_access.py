"""Access: what each role may see and steer."""

from __future__ import annotations

import pytest

from reelmill_common.access import OPERATOR, Principal, Role
from reelmill_common.errors import NotAllowed


@pytest.mark.parametrize(
    ("role", "owner", "sees", "steers"),
    [
        pytest.param(Role.VIEWER, None, ["", "ann", "bob"], [], id="a viewer of all"),
        pytest.param(Role.VIEWER, "ann", ["ann"], [], id="a viewer of one owner"),
        pytest.param(Role.SUBMITTER, "ann", ["ann"], ["ann"], id="a submitter"),
        pytest.param(Role.SUBMITTER, "", [""], [""], id="a submitter of batches without an owner"),
        pytest.param(Role.OPERATOR, None, ["", "ann", "bob"], ["", "ann", "bob"], id="an operator"),
    ],
)
def test_a_role_sees_and_steers_what_is_its_own(
    role: Role, owner: str | None, sees: list[str], steers: list[str]
) -> None:
    holder = Principal(name="t", role=role, owner=owner)
    owners = ["", "ann", "bob"]

    assert [name for name in owners if holder.may_see(name)] == sees
    assert [name for name in owners if holder.may_steer(name)] == steers
    assert holder.is_operator == (role is Role.OPERATOR)


def test_a_submitter_submits_for_its_owner_and_for_no_other() -> None:
    ann = Principal(name="t", role=Role.SUBMITTER, owner="ann")

    assert (ann.owner_of_new(None), ann.owner_of_new("ann")) == ("ann", "ann")
    for other in ("bob", ""):
        with pytest.raises(NotAllowed, match="'ann' only"):
            ann.owner_of_new(other)


def test_an_operator_submits_for_anyone_and_a_viewer_for_nobody() -> None:
    assert (OPERATOR.owner_of_new(None), OPERATOR.owner_of_new("bob")) == ("", "bob")
    with pytest.raises(NotAllowed, match="may only read"):
        Principal(name="t", role=Role.VIEWER).owner_of_new(None)
