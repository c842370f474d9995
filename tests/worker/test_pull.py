import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub.utils import disable_progress_bars

from fixtures.hub import COMMIT, REPO, Hub
from reelmill_common.errors import HubUnavailable, InvalidModel
from reelmill_worker.pipeline.pull import DecoderSource, Pulled, git_blob, pull
from reelmill_worker.pipeline.weights import ModelFolder

DECODER = "tiny_decoder/diffusion_pytorch_model.safetensors"
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"

disable_progress_bars()


@pytest.fixture
def repository(hub: Hub, tiny_model: Path) -> Hub:
    """The tiny model on the hub, as a stranger would publish it: with code, pickles and pictures beside it."""
    shutil.copytree(tiny_model, hub.folder, dirs_exist_ok=True)
    (hub.folder / "manifest.json").unlink()
    (hub.folder / "README.md").write_text("# Fox")
    (hub.folder / "pipeline.py").write_text("raise SystemExit('code of a stranger')")
    (hub.folder / "transformer" / "old.bin").write_bytes(b"\x80\x02pickle")
    return hub


def pull_from(hub: Hub, folder: Path, *, repo: str = REPO, revision: str = "main", decoder: str = DECODER) -> Pulled:
    file = hub.folder / decoder
    source = DecoderSource(url=f"{hub.url}/raw/{decoder}", size_bytes=file.stat().st_size, blob=git_blob(file))
    return pull(repo, folder, revision=revision, endpoint=hub.url, decoder=source)


def test_a_pulled_model_opens_and_names_its_commit(repository: Hub, tmp_path: Path) -> None:
    pulled = pull_from(repository, tmp_path / "model")

    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert pulled.revision == manifest["source"]["revision"] == COMMIT
    assert ModelFolder.open(tmp_path / "model").model_hash == pulled.model_hash


def test_only_weights_and_configs_come_down(repository: Hub, tmp_path: Path) -> None:
    pull_from(repository, tmp_path / "model")

    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    asked = {path.rpartition("/")[2] for _, path, _ in repository.requests}
    assert suffixes == {".json", ".safetensors"}
    assert not asked & {"README.md", "pipeline.py", "old.bin"}


def test_a_commit_can_be_pinned_and_a_wrong_one_is_said_to_be_wrong(repository: Hub, tmp_path: Path) -> None:
    assert pull_from(repository, tmp_path / "model", revision=COMMIT).revision == COMMIT

    with pytest.raises(InvalidModel, match=r"studio/fox has no revision 'v9'; take a commit"):
        pull_from(repository, tmp_path / "other", revision="v9")


@pytest.mark.parametrize(
    ("repo", "message"),
    [
        pytest.param("studio/absent", "the hub has no repository studio/absent", id="absent"),
        pytest.param("not a name", "is no repository name; use owner/name", id="not a name"),
    ],
)
def test_a_wrong_repository_is_said_to_be_wrong(repo: str, message: str, repository: Hub, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=message):
        pull_from(repository, tmp_path / "model", repo=repo)


def test_a_hub_that_does_not_answer_is_a_reason_to_try_again(repository: Hub, tmp_path: Path) -> None:
    repository.url = "http://127.0.0.1:9"

    with pytest.raises(HubUnavailable, match=r"the hub does not answer for studio/fox.*run the same command again"):
        pull_from(repository, tmp_path / "model")


def test_a_repository_with_pickles_only_is_refused_before_anything_is_downloaded(
    repository: Hub, tmp_path: Path
) -> None:
    (repository.folder / TRANSFORMER).unlink()

    with pytest.raises(InvalidModel, match=r"has only the pickle transformer/old.bin, which can run any code"):
        pull_from(repository, tmp_path / "model")

    assert not [path for _, path, _ in repository.requests if "/resolve/" in path]


def test_a_repository_that_is_no_model_is_refused(repository: Hub, tmp_path: Path) -> None:
    (repository.folder / "vae" / "config.json").unlink()

    with pytest.raises(InvalidModel, match=r"has no vae/config.json; only models in the diffusers layout"):
        pull_from(repository, tmp_path / "model")


def test_a_file_that_came_down_wrong_is_removed_and_comes_right_the_next_time(repository: Hub, tmp_path: Path) -> None:
    whole = (repository.folder / TRANSFORMER).read_bytes()
    repository.lies[TRANSFORMER] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(InvalidModel, match=r"has hash .* where the hub says .*; it was removed: pull again"):
        pull_from(repository, tmp_path / "model")

    repository.lies.clear()
    pull_from(repository, tmp_path / "model")

    assert (tmp_path / "model" / TRANSFORMER).read_bytes() == whole


def test_a_cut_off_download_goes_on_where_it_ended_and_fetches_nothing_twice(repository: Hub, tmp_path: Path) -> None:
    repository.cut[DECODER] = 1000
    with pytest.raises(HubUnavailable, match=r"ended after 1000 of \d+ bytes; run the same command again"):
        pull_from(repository, tmp_path / "model")
    repository.requests.clear()

    pull_from(repository, tmp_path / "model")

    assert [(path, start) for method, path, start in repository.requests if method == "GET" and "api/" not in path] == [
        (f"raw/{DECODER}", "bytes=1000-")
    ]


def test_a_download_that_is_gone_on_with_stays_at_its_commit(repository: Hub, tmp_path: Path) -> None:
    repository.cut[DECODER] = 1000
    with pytest.raises(HubUnavailable):
        pull_from(repository, tmp_path / "model")

    with pytest.raises(InvalidModel, match=f"holds a download of studio/fox at {COMMIT} that was cut off"):
        pull_from(repository, tmp_path / "model", repo="studio/other")


def test_a_decoder_of_other_content_is_refused(repository: Hub, tmp_path: Path) -> None:
    size = (repository.folder / DECODER).stat().st_size
    repository.lies[DECODER] = bytes(size)

    with pytest.raises(InvalidModel, match="is not the file that was wanted"):
        pull_from(repository, tmp_path / "model")


def test_a_folder_with_something_else_in_it_is_not_touched(repository: Hub, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")

    with pytest.raises(InvalidModel, match="exists and is not empty"):
        pull_from(repository, tmp_path / "model")

    assert [path.name for path in (tmp_path / "model").iterdir()] == ["notes.txt"]


def test_a_disk_that_is_too_small_is_noticed_before_the_download(
    repository: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))

    with pytest.raises(InvalidModel, match=r"has 0.0 GB free.*name a folder on a larger disk"):
        pull_from(repository, tmp_path / "model")
