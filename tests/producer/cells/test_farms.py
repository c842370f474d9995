"""`Cells`: two farms, each on a Valkey of its own, behind one submit and one command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from fixtures.cli import Cli
from fixtures.farm import Farm
from fixtures.valkey import free_port
from reelmill import Cells, InvalidSettings, LedgerUnavailable, NotFound, Reelmill
from reelmill_common.settings import Settings
from reelmill_producer.cells.placement import homes
from reelmill_producer.embedded.valkey import ValkeyServer

NAMES = [f"night-{number}" for number in range(400)]


@pytest.fixture
def second(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer.start(tmp_path / "second", port=free_port())
    yield server
    server.stop()


@pytest.fixture
def both(settings: Settings, second: ValkeyServer, tmp_path: Path) -> Settings:
    """Settings of a producer of two cells, `a` and `b`."""
    cells = f"a={settings.redis_url},b={second.url}"
    return replace(settings, redis_url="", cells=cells, store_url=f"file://{tmp_path}/store/{{cell}}")


def _batch_for(cell: str) -> str:
    return next(name for name in NAMES if homes(["a", "b"], name)[-1] == cell)


def test_a_batch_stays_in_the_cell_that_has_it_when_a_cell_is_added(both: Settings, cli: Cli) -> None:
    name = _batch_for("b")
    with Cells(replace(both, cell="a")) as first:
        first.submit_many(["a fox"], batch=name)

    with Cells(both) as cells:
        again = cells.submit_many(["a fox", "an owl"], batch=name)

        assert (again.added, again.unchanged) == (1, 1)
        assert cells.cell_of(name) == "a"
        assert cells.farm("b").batches() == []


def test_jobs_and_unknown_names_are_looked_for_in_all_cells(both: Settings) -> None:
    with Cells(both) as cells:
        cells.submit_many(["a fox"], batch=_batch_for("b"))
        job = next(cells.farm("b").jobs(_batch_for("b")))

        assert cells.cell_of(job.job_id) == "b"
        with pytest.raises(NotFound, match="no cell has 'none'; the cells are a, b"):
            cells.cell_of("none")


def test_a_cell_that_is_down_is_named_and_the_other_answers(both: Settings, second: ValkeyServer, cli: Cli) -> None:
    mine, theirs = _batch_for("a"), _batch_for("b")
    with Cells(both) as cells:
        cells.submit_many(["a fox"], batch=mine)
        cells.submit_many(["an owl"], batch=theirs)
    second.stop()

    env = both.to_env()
    shown, asked, lost = cli("status", env=env), cli("status", mine, env=env), cli("status", theirs, env=env)

    assert (shown.status, asked.status, lost.status) == (0, 0, 75)
    assert mine in shown.out
    assert "cell b is not shown" in shown.err
    assert "cell b: " in lost.err
    with Cells(both) as cells, pytest.raises(LedgerUnavailable, match="may be in a cell that does not answer"):
        cells.cell_for(_batch_for("b"))


@pytest.mark.parametrize("command", ["serve", "flower", "metrics", "doctor", "mcp", "top"])
def test_a_command_that_serves_one_farm_asks_which_cell_is_meant(both: Settings, cli: Cli, command: str) -> None:
    ran = cli(command, env=both.to_env() | {"FLOWER_BASIC_AUTH": "me:a-long-password"})

    assert (ran.status, "set REELMILL_CELL to one of a, b" in ran.err) == (78, True), ran.err


def test_doctor_looks_at_the_cell_that_is_named_or_at_the_server_of_the_url(
    both: Settings, settings: Settings, second: ValkeyServer, cli: Cli
) -> None:
    second.stop()
    env = both.to_env()

    named = [cli("doctor", env=env | {"REELMILL_CELL": cell}).out.splitlines()[0][:4] for cell in ("a", "b")]
    by_url = cli("doctor", env=env | {"REELMILL_REDIS_URL": settings.redis_url}).out.splitlines()[0][:4]

    assert (named, by_url) == (["ok  ", "fail"], "ok  ")


def test_status_says_how_full_each_cells_redis_is(both: Settings, second: ValkeyServer, cli: Cli) -> None:
    with redis.Redis.from_url(second.url) as client:
        client.config_set("maxmemory", "4gb")

    shown = cli("status", env=both.to_env()).out.splitlines()

    assert shown[-1].startswith("cell b: Redis uses 0.00 of 4.29 GB")
    assert not any(line.startswith("cell a") for line in shown)


def test_one_farm_refuses_several_cells(both: Settings) -> None:
    with pytest.raises(InvalidSettings, match="names several farms"):
        Reelmill(both)
    with pytest.raises(InvalidSettings, match="there is no cell 'c'; there are a, b"):
        Cells(replace(both, cell="c"))


def test_commands_reach_the_cell_of_their_batch_and_workers_of_both_render(
    both: Settings, settings: Settings, second: ValkeyServer, make_farm: Callable[..., Farm], cli: Cli, tmp_path: Path
) -> None:
    env = both.to_env()
    farms = [
        make_farm(
            redis_url=url, renderer="fixed:0", store_url=f"file://{tmp_path}/store/{cell}", state_dir=tmp_path / cell
        )
        for cell, url in (("a", settings.redis_url), ("b", second.url))
    ]
    for farm in farms:
        farm.start(ready=False)
    names = [_batch_for("a"), _batch_for("b")]
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a fox\nan owl\n")

    submitted = [cli("submit", str(prompts), "--batch", name, env=env) for name in names]
    watched = [cli("watch", name, env=env) for name in names]
    shown = cli("status", "--json", env=env).json
    clips = [cli("results", name, env=env).out.splitlines() for name in names]

    assert [ran.status for ran in submitted + watched] == [0, 0, 0, 0]
    assert {(view["cell"], view["batch"], view["counts"]["succeeded"]) for view in shown["batches"]} == {
        ("a", names[0], 2),
        ("b", names[1], 2),
    }
    assert [view["cell"] for view in shown["workers"]] == ["a", "b"]
    assert [(cell["cell"], cell["error"], cell["redis"]["used_bytes"] > 0) for cell in shown["cells"]] == [
        ("a", None, True),
        ("b", None, True),
    ]
    assert [f"/store/{cell}/" in line for cell, lines in zip("ab", clips, strict=True) for line in lines] == [True] * 4
    assert "set REELMILL_CELL to one of a, b" in cli("top", "--json", env=env).err
    assert cli("cancel", *names, env=env).status == 65
