"""`reelmill download`: clips as files, verified and resumable."""

from __future__ import annotations

import json
from pathlib import Path

from fixtures.cli import Cli
from producer.download_steps import FILES
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store


def test_a_batch_is_downloaded_with_posters_and_results(cli: Cli, three_clips: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "clips"

    ran = cli("download", three_clips, folder)

    posters = [name.replace(".mp4", ".jpg") for name in FILES]
    assert (ran.status, ran.out) == (0, f"{folder}\n")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *posters, "results.jsonl"])
    assert (folder / "owl-s2.mp4").read_bytes() == b"MP4 of owl-s2"
    states = [json.loads(line)["state"] for line in (folder / "results.jsonl").read_text().splitlines()]
    assert states == ["succeeded", "succeeded", "succeeded", "failed"]


def test_what_is_right_is_left_alone_and_what_is_not_is_replaced(cli: Cli, three_clips: str, tmp_path: Path) -> None:
    cli("download", three_clips, tmp_path / "clips")
    (tmp_path / "clips/owl-s2.mp4").write_bytes(b"MP4 of 0wl-s2")
    (tmp_path / "clips/shot.s3.mp4").unlink()
    before = (tmp_path / "clips/_con.s1.mp4").stat().st_mtime_ns

    ran = cli("download", three_clips, tmp_path / "clips", "--json")

    assert (ran.json["fetched"], ran.json["kept"], ran.json["failed"]) == (2, 1, [])
    assert (tmp_path / "clips/owl-s2.mp4").read_bytes() == b"MP4 of owl-s2"
    assert (tmp_path / "clips/_con.s1.mp4").stat().st_mtime_ns == before


def test_missing_and_altered_clips_are_told_and_the_others_come(
    cli: Cli, three_clips: str, tmp_path: Path, settings: Settings, ledger: Ledger
) -> None:
    store = open_store(settings)
    keys = [job.result.key for job in ledger.jobs.page(three_clips, states=[JobState.SUCCEEDED]) if job.result]
    store.delete(keys[0])
    store.put(keys[1], b"MP4 of 0wl-s2", content_type="video/mp4", replace=True)

    ran = cli("download", three_clips, tmp_path / "clips")

    assert ran.status in (66, 74)
    assert "SHA-256 differs" in ran.err
    assert "1 downloaded, 0 there already, 2 failed" in ran.err
    assert [path.name for path in (tmp_path / "clips").glob("*.mp4")] == ["shot.s3.mp4"]
    assert not list((tmp_path / "clips").glob("*.part"))
