from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from reelmill_worker.pipeline.compile_cache import KEPT_FILES, CompileCache, setup_key
from reelmill_worker.pipeline.network.plan import choose_plan, cpu_plan, gpu_facts

PLAN = choose_plan(gpu_facts("H100"))
ARTIFACTS = b"what the compiler made"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a compilation: there are artifacts. Making real ones takes a GPU, or half a minute of C++."""
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (ARTIFACTS, None))


def test_what_one_start_saved_the_next_one_loads(
    tmp_path: Path, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bytes] = []
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", lambda content: given.append(content) or "found")
    assert not CompileCache.of(tmp_path, PLAN, "hash").load()

    assert CompileCache.of(tmp_path, PLAN, "hash").save()

    assert CompileCache.of(tmp_path, PLAN, "hash").load()
    assert given == [ARTIFACTS]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((replace(PLAN, gpu="NVIDIA A100"), "hash"), id="another GPU"),
        pytest.param((replace(PLAN, linears="bf16"), "hash"), id="other arithmetic"),
        pytest.param((PLAN, "other"), id="another model"),
    ],
)
def test_another_setup_never_gets_it(tmp_path: Path, compiled: None, other: tuple[object, str]) -> None:
    CompileCache.of(tmp_path, PLAN, "hash").save()

    assert not CompileCache.of(tmp_path, *other).load()


def test_another_torch_is_another_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    before = setup_key(PLAN, "hash")

    monkeypatch.setattr(torch, "__version__", "9.9.9")

    assert setup_key(PLAN, "hash") != before


def test_why_a_plan_was_chosen_does_not_matter() -> None:
    assert setup_key(replace(PLAN, reasons=("because",)), "hash") == setup_key(PLAN, "hash")


def test_a_file_that_is_no_cache_is_passed_over_and_said(tmp_path: Path) -> None:
    cache = CompileCache.of(tmp_path, PLAN, "hash")
    cache.path.write_bytes(b"cut off")

    with capture_logs() as logs:
        assert not cache.load()

    assert logs[0]["event"] == "compile_cache.ignored"


def test_a_folder_that_cannot_be_made_is_said_and_passed_over(tmp_path: Path, compiled: None) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")

    with capture_logs() as logs:
        assert not CompileCache.of(tmp_path / "cache", PLAN, "hash").save()

    assert logs[0]["event"] == "compile_cache.not_saved"


def test_only_the_newest_files_are_kept(tmp_path: Path, compiled: None) -> None:
    for number in range(KEPT_FILES + 3):
        CompileCache.of(tmp_path, PLAN, f"model {number}").save()

    assert len(list(tmp_path.iterdir())) == KEPT_FILES


def test_a_plan_that_compiles_nothing_keeps_nothing(tmp_path: Path, compiled: None) -> None:
    assert not CompileCache.of(tmp_path, cpu_plan(), "hash").save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_others_may_write_is_never_unpickled(
    what: str, tmp_path: Path, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CompileCache.of(tmp_path / "cache", PLAN, "hash")
    cache.save()
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", lambda _: pytest.fail("it was loaded"))
    (cache.path if what == "file" else cache.path.parent).chmod(0o777)

    with capture_logs() as events:
        assert not cache.load()

    assert events[0]["event"] == "compile_cache.ignored"


def test_without_a_folder_nothing_is_kept(compiled: None) -> None:
    assert not CompileCache.of(None, PLAN, "hash").save()
