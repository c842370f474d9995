"""`results`: where the clips are."""

from __future__ import annotations

from pathlib import Path

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill


def test_results_are_paths_that_one_can_open(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()
    hand.finish(claimed)

    ran = cli("results", night)

    (path,) = ran.out.splitlines()
    assert Path(path).read_bytes() == b"MP4 of " + claimed.row.encode()


def test_results_as_json_name_key_link_and_hash(cli: Cli, night: str, hand: Hand) -> None:
    result = hand.finish(hand.claim())

    (found,) = cli("results", night, "--json").jsons

    assert found["key"] == result.key
    assert found["sha256"] == result.sha256
    assert found["url"].startswith("file:///")


def test_results_of_a_batch_without_clips_are_empty(cli: Cli, night: str) -> None:
    ran = cli("results", night)

    assert (ran.status, ran.out) == (0, "")


def test_favourites_stand_in_results_and_export_and_are_chosen_by_an_option(
    cli: Cli, night: str, hand: Hand, settings: Settings, tmp_path: Path
) -> None:
    for _ in range(3):
        hand.finish(hand.claim())
    with Reelmill(settings) as farm:
        farm.choose("night/owl", "favourite", "the owl turns")
        farm.choose("night/hare", "reject")

    marks = {record["row"]: record.get("choice") for record in cli("export", night).jsons}
    (found,) = cli("results", night, "--favourites", "--json").jsons
    (exported,) = cli("export", night, "--favourites").jsons
    fetched = cli("download", night, tmp_path / "clips", "--favourites", "--json").json
    cli("prune", "--older", "0s")
    (archived,) = cli("export", night, "--favourites").jsons
    from_archive = cli("download", night, tmp_path / "archived", "--favourites", "--json").json

    owl = {"mark": "favourite", "note": "the owl turns"}
    assert marks == {"fox": None, "owl": owl, "hare": {"mark": "reject", "note": ""}}
    assert [(record["row"], record["choice"]) for record in (found, exported, archived)] == [("owl", owl)] * 3
    assert fetched["fetched"] == from_archive["fetched"] == 1
    none = cli("download", night, tmp_path / "none", "--only", "fox", "--favourites")
    assert "no clip that matches --only and --favourites" in none.err
