"""Two farms on one store: worker and doctor of the second warn of it, and it takes over only on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.farm import Farm
from reelmill_common.contract import FARM_MARK, RECORD_FOLDER, STORE_FOLDERS
from reelmill_common.errors import InvalidJob
from reelmill_common.farm_mark import leave_mark, other_mark
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger
from reelmill_common.provenance import batch_index
from reelmill_common.report import write
from reelmill_common.settings import Settings
from reelmill_common.storage import keys, open_store
from reelmill_worker.child import embedding_cache


@pytest.mark.services
def test_a_second_farm_on_a_store_is_told_by_its_worker_and_by_doctor(
    make_farm: Callable[..., Farm], cli: Cli, tmp_path: Path
) -> None:
    first = make_farm(renderer="fixed:0.01", profile="tiny")
    other = make_farm(renderer="fixed:0.01", profile="tiny", farm=f"{first.settings.farm}-b")
    other.folder = tmp_path / "other"  # for its log
    other.folder.mkdir()
    marker, second = first.start(), other.start()

    view = other.worker(second.node)

    assert marker.events("store.of_another_farm") == []
    assert len(second.events("store.of_another_farm")) == 1
    assert view is not None
    assert f"mark of farm '{first.settings.farm}'" in view.trouble
    env = other.settings.to_env()
    findings = [line for line in cli("doctor", "--json", env=env).json["findings"] if line["check"] == "store.farm"]
    assert [(line["level"], "--take-over" in line["advice"]) for line in findings] == [("warn", True)]
    assert [line for line in cli("doctor", "--json").json["findings"] if line["check"] == "store.farm"] == []


@pytest.mark.parametrize("mark", [b"[" * 9000, b'{"farm": "\\ud800"}', b'{"farm": 1e999}'], ids=["deep", "half", "inf"])
def test_a_store_is_taken_over_only_on_request(ledger: Ledger, settings: Settings, mark: bytes) -> None:
    store = open_store(settings)
    store.put(FARM_MARK, mark, content_type="application/json")

    found = leave_mark(ledger, store, "main")
    after = leave_mark(ledger, store, "main", replace=True)

    assert found is not None
    assert found.farm == "?"
    assert after is None
    assert other_mark(ledger, store) is None
    assert leave_mark(ledger, store, "main") is None


@pytest.mark.parametrize("name", sorted(STORE_FOLDERS))
def test_a_batch_may_not_be_called_as_a_folder_of_the_store(name: str) -> None:
    with pytest.raises(InvalidJob, match=f"use for example '{name}-1'"):
        Batch(name=name)


def test_the_folders_of_the_store_are_all_known() -> None:
    folders = {keys.LOGS, write.FOLDER, embedding_cache.FOLDER, batch_index.FOLDER}
    assert folders | {RECORD_FOLDER, FARM_MARK} == STORE_FOLDERS


def test_a_file_named_as_a_folder_of_the_store_is_refused_with_what_to_do(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "logs.txt").write_text("a fox\n")

    ran = cli("submit", tmp_path / "logs.txt")

    assert (ran.status, ran.out) == (65, "")
    assert "batch 'logs' would take a folder that the store needs; use for example 'logs-1'" in ran.err
