import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import disable_progress_bars
from safetensors.torch import load_file, save_file

from fixtures.checkpoint import change_json, rewrite
from fixtures.hub import COMMIT, REPO, Hub
from reelmill_common.errors import HubUnavailable, InvalidModel
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.prepare.pull import DecoderSource, Pulled, git_blob, pull

DECODER = "tiny_decoder/diffusion_pytorch_model.safetensors"
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
TO_Q = "blocks.0.attn1.to_q.weight"

disable_progress_bars()


@pytest.fixture
def repository(hub: Hub, tiny_model: Path) -> Hub:
    """The tiny model on the hub, as an unknown person would publish it: with code, pickles and pictures beside it."""
    shutil.copytree(tiny_model, hub.folder, dirs_exist_ok=True)
    (hub.folder / "manifest.json").unlink()
    (hub.folder / "README.md").write_text("# Fox")
    (hub.folder / "pipeline.py").write_text("raise SystemExit('untrusted code')")
    (hub.folder / "transformer" / "old.bin").write_bytes(b"\x80\x02pickle")
    return hub


def pull_from(
    hub: Hub,
    folder: Path,
    *,
    repo: str = REPO,
    revision: str = "main",
    decoder: str = DECODER,
    warn: Callable[[str], None] = print,
) -> Pulled:
    file = hub.folder / decoder
    source = DecoderSource(url=f"{hub.url}/raw/{decoder}", size_bytes=file.stat().st_size, blob=git_blob(file))
    return pull(repo, folder, revision=revision, endpoint=hub.url, decoder=source, warn=warn)


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
        pytest.param("not a name", "is not a repository name; use owner/name", id="not a name"),
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


def put(root: Path, name: str, content: bytes = b"weights") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def split(root: Path) -> None:
    """Store the transformer in two shards with an index, as large ones are."""
    tensors = load_file(root / TRANSFORMER)
    stem, names = TRANSFORMER.removesuffix(".safetensors"), sorted(tensors)
    shards = [f"{Path(stem).name}-{number:05}-of-00002.safetensors" for number in (1, 2)]
    where = {name: shards[place % 2] for place, name in enumerate(names)}
    for shard in shards:
        save_file({name: tensors[name] for name in names if where[name] == shard}, root / "transformer" / shard)
    (root / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (root / TRANSFORMER).unlink()


INDEX, CONFIG = "model_index.json", "transformer/config.json"
ELSE = {
    "two experts": (
        lambda root: put(root, "transformer_2/diffusion_pytorch_model.safetensors"),
        "is a two-expert model .*transformer_2/",
    ),
    "two experts, by the index": (
        lambda root: change_json(root / INDEX, transformer_2=["diffusers", "WanTransformer3DModel"]),
        "is a two-expert model",
    ),
    "a boundary between experts": (lambda root: change_json(root / INDEX, boundary_ratio=0.875), "two-expert model"),
    "an image encoder": (
        lambda root: put(root, "image_encoder/model.safetensors"),
        "is an image-to-video model: it has image_encoder/",
    ),
    "image to video, by the pipeline": (
        lambda root: change_json(root / INDEX, _class_name="WanImageToVideoPipeline"),
        "is an image-to-video model",
    ),
    "TI2V": (lambda root: change_json(root / INDEX, expand_timesteps=True), r"Wan 2\.2 TI2V"),
    "another family": (lambda root: change_json(root / INDEX, _class_name="LTXPipeline"), "another pipeline, LTXPip"),
    "another transformer": (
        lambda root: change_json(root / INDEX, transformer=["diffusers", "WanVACETransformer3DModel"]),
        "transformer is WanVACETransformer3DModel, wanted WanTransformer3DModel",
    ),
    "36 channels": (lambda root: change_json(root / CONFIG, in_channels=36), "in_channels=36; only 16 .*inpainting"),
    "48 channels": (
        lambda root: change_json(root / CONFIG, in_channels=48, out_channels=48),
        r"in_channels=48; only 16 .*Wan 2\.2 TI2V",
    ),
    "an image's width": (lambda root: change_json(root / CONFIG, image_dim=1280), "image_dim=1280; .*image-to-video"),
    "a million layers": (
        lambda root: change_json(root / CONFIG, num_layers=1_000_000),
        "num_layers=1000000; wanted a whole number, 1 to 128",
    ),
    "quantised by a library": (
        lambda root: change_json(root / CONFIG, quantization_config={"quant_method": "bitsandbytes"}),
        "is quantised by bitsandbytes; take the repository of its floats",
    ),
    "codes without scales": (
        lambda root: rewrite(
            root / TRANSFORMER,
            lambda tensors: tensors.update({TO_Q: tensors[TO_Q].to(torch.float8_e4m3fn)}),
        ),
        rf"1 tensors in 8 bits without the scales that are read here \({TO_Q}_scale",
    ),
    "a variant beside": (
        lambda root: put(root, "transformer/diffusion_pytorch_model.fp16.safetensors"),
        r"has 2 sets of weights in transformer/ \(diffusion_pytorch_model.fp16.*",
    ),
    "shards beside the whole": (
        lambda root: (
            put(root, "vae/diffusion_pytorch_model-00001-of-00002.safetensors") or put(root, "vae/other.safetensors")
        ),
        "has 2 sets of weights in vae/",
    ),
    "weights of another config": (
        lambda root: change_json(root / CONFIG, ffn_dim=1024),
        r"blocks\.0\..* in studio/fox/transformer/.* has shape .* where config.json wants",
    ),
}


@pytest.mark.parametrize("case", ELSE)
def test_a_model_of_another_kind_is_refused_before_its_weights_come_down(
    case: str, repository: Hub, tmp_path: Path
) -> None:
    change, message = ELSE[case]
    change(repository.folder)

    with pytest.raises(InvalidModel, match=message):
        pull_from(repository, tmp_path / "model")

    fetched = [path for method, path, start in repository.requests if method == "GET" and ".safetensors" in path]
    assert all(path.endswith((".index.json", TRANSFORMER)) for path in fetched)  # of one, the header at most
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("layout", ["one file", "shards"])
def test_gates_of_sparse_attention_are_warned_of_and_shards_are_one_set(
    layout: str, repository: Hub, tmp_path: Path
) -> None:
    rewrite(
        repository.folder / TRANSFORMER,
        lambda tensors: tensors.update({"blocks.0.to_gate_compress.weight": torch.zeros(256, 256)}),
    )
    if layout == "shards":
        split(repository.folder)
    said: list[str] = []

    pull_from(repository, tmp_path / "model", warn=said.append)

    assert said == [match("studio/fox was trained for sparse attention (1 to_gate_compress gates)", said)]


def match(start: str, lines: list[str]) -> str:
    return next((line for line in lines if line.startswith(start)), start)
