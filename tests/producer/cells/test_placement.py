"""Which cell a batch's name is hashed to."""

from __future__ import annotations

from reelmill_producer.cells.placement import homes

NAMES = [f"night-{number}" for number in range(400)]


def test_a_new_cell_takes_its_share_of_the_names_and_no_other_name_moves() -> None:
    before = {name: homes(["a", "b", "c"], name)[-1] for name in NAMES}
    after = {name: homes(["a", "b", "c", "d"], name)[-1] for name in NAMES}

    moved = [name for name in NAMES if before[name] != after[name]]
    assert {after[name] for name in moved} == {"d"}
    assert 60 <= len(moved) <= 140  # a quarter of 400 is 100
    assert {before[name] for name in NAMES} == {"a", "b", "c"}


def test_a_batch_may_be_only_where_it_was_put_when_there_were_fewer_cells() -> None:
    for name in NAMES:
        found = homes(["a", "b", "c"], name)

        assert found[0] == "a"
        assert set(found) == {homes(cells, name)[-1] for cells in (["a"], ["a", "b"], ["a", "b", "c"])}
