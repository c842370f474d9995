"""The download of a model: one commit, only files that cannot run code, each checked by size and hash."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    SafetensorsParsingError,
)
from huggingface_hub.hf_api import RepoFile

from reelmill_common.errors import HubUnavailable, InvalidModel
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.manifest import file_sha256, write_manifest
from reelmill_worker.pipeline.checkpoint.repository import (
    check_index,
    check_listing,
    check_transformer,
    described,
    warnings_of,
)
from reelmill_worker.pipeline.checkpoint.safetensors_file import PICKLES, TensorEntry
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder

log = structlog.get_logger(__name__)

ALLOWED = re.compile(
    r"model_index\.json"
    r"|scheduler/scheduler_config\.json"
    r"|tokenizer/(tokenizer|tokenizer_config|special_tokens_map)\.json"
    r"|(transformer|text_encoder|vae)/(config\.json|[\w.-]+\.safetensors(\.index\.json)?)"
)
"""All that is ever downloaded: JSON and safetensors. A repository may hold pickles and code; they stay there."""
STATE_FILE = ".reelmill-pull.json"
SPARE_BYTES = 1 << 30
"""Room to leave on the disk."""
BLOCK = 1 << 20
# The library's HTTP client has had two names; its errors are the first base of the library's own.
HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSource:
    """Where the tiny decoder comes from; it is in no model repository.

    Attributes:
        url: The URL of one commit's file.
        size_bytes: The size of the file.
        blob: Its Git object id, which is the SHA-1 of `blob SIZE` and the content.
    """

    url: str
    size_bytes: int
    blob: str


TAEW2_1 = DecoderSource(
    url="https://raw.githubusercontent.com/madebyollin/taehv/1f14a568f24bf8811e0a0ac601613e04fc1581e8/"
    "safetensors/taew2_1.safetensors",
    size_bytes=22_642_902,
    blob="ec1a2be453a250aa406e912bb630c34463ba0b2f",
)
"""MIT licence. Size and object id are those of the commit's tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What was downloaded.

    Attributes:
        revision: The commit, 40 hexadecimal digits; give it to `--revision` to get the same files again.
    """

    folder: Path
    repo: str
    revision: str
    size_bytes: int
    model_hash: str


def _log_warning(text: str) -> None:
    log.warning("pull.warned", text=text)


def pull(
    repo: str,
    folder: Path,
    *,
    revision: str = "main",
    endpoint: str | None = None,
    decoder: DecoderSource = TAEW2_1,
    warn: Callable[[str], None] = _log_warning,
) -> Pulled:
    """Download a model in the diffusers layout, or go on with a download that was cut off.

    It is judged by its listing, its JSON files and its transformer's header before any weights come down. A branch name
    is resolved to its commit once; a download that is gone on with stays at that commit.

    Args:
        repo: `owner/name` on the hub.
        folder: New, empty, or of the download that was cut off.
        revision: Branch, tag or commit.
        endpoint: Another hub than huggingface.co.
        decoder: The tiny decoder's file.
        warn: Told what a person should know of the model, before the download.

    Raises:
        InvalidModel: No such repository or revision, not a model of ours, or a file is not what it should be.
        HubUnavailable: The hub does not answer; what has come is kept.
    """
    api = HfApi(endpoint=endpoint)
    with _hub_errors(repo, revision):
        commit = _commit(api, repo, folder, revision)
        tree = api.list_repo_tree(repo, recursive=True, revision=commit)
        files = [item for item in tree if isinstance(item, RepoFile)]
    check_listing(repo, [item.path for item in files])
    wanted = choose_files(repo, files)
    size = sum(item.size for item in wanted)
    _check_room(folder, size + decoder.size_bytes)
    if not (folder / STATE_FILE).is_file():  # what is gone on with was judged then
        for warning in _judge(api, repo, commit, wanted):
            warn(warning)
    layout.write_json(folder / STATE_FILE, {"repo": repo, "revision": commit})
    log.info("pull.started", repo=repo, revision=commit, files=len(wanted), size_bytes=size)
    with _hub_errors(repo, revision):
        names = [item.path for item in wanted]
        snapshot_download(repo, revision=commit, local_dir=folder, allow_patterns=names, endpoint=endpoint)
    for item in wanted:
        check_file(folder / item.path, item)
    fetch_decoder(folder / layout.TINY_DECODER, decoder)
    _finish(folder, {"repo": repo, "revision": commit, "tiny_decoder": decoder.url})
    model = ModelFolder.open(folder)
    return Pulled(folder=folder, repo=repo, revision=commit, size_bytes=size, model_hash=model.model_hash)


def _judge(api: HfApi, repo: str, commit: str, wanted: Sequence[RepoFile]) -> list[str]:
    """Refuse a repository by what costs little to read, or return warnings."""
    small = [item.path for item in wanted if item.path.endswith(".json") and "tokenizer" not in item.path]
    weights = [
        item.path for item in wanted if item.path.startswith("transformer/") and item.path.endswith(".safetensors")
    ]
    with tempfile.TemporaryDirectory(prefix="reelmill-pull-") as made, _hub_errors(repo, commit):
        folder = Path(made)
        large = [item.path for item in wanted if item.path in small and item.size > layout.MOST_JSON_BYTES]
        if large:
            raise InvalidModel(
                f"{repo}: {large[0]} is larger than {layout.MOST_JSON_BYTES:,} bytes; it is not a configuration"
            )
        snapshot_download(repo, revision=commit, local_dir=folder, allow_patterns=small, endpoint=api.endpoint)
        check_index(layout.read_json(folder / layout.MODEL_INDEX_FILE), repo)
        config = layout.read_json(folder / layout.TRANSFORMER / layout.CONFIG_FILE)
        check_transformer(repo, config, {})
        if len(weights) > 1:
            tensors = _indexed_names(folder)
        else:
            tensors = _header(api, repo, commit, weights[0])
            check_transformer(repo, config, tensors)
    return warnings_of(repo, config, tensors)


def _indexed_names(folder: Path) -> dict[str, Any]:
    index = next((folder / layout.TRANSFORMER).glob("*.index.json"), None)
    names = layout.read_json(index).get("weight_map") if index else None
    return names if isinstance(names, dict) else {}


def _header(api: HfApi, repo: str, commit: str, name: str) -> dict[str, TensorEntry]:
    """Read the first bytes of a weights file: its tensors' names, shapes and dtypes."""
    try:
        return described(api.parse_safetensors_file_metadata(repo, name, revision=commit).tensors, f"{repo}/{name}")
    except SafetensorsParsingError as err:
        raise InvalidModel(f"{repo}: {name} is not a safetensors file: {str(err).partition(chr(10))[0]}") from err


def _commit(api: HfApi, repo: str, folder: Path, revision: str) -> str:
    state = folder / STATE_FILE
    if state.is_file():
        known = layout.read_json(state)
        if known.get("repo") == repo and revision in ("main", known.get("revision")):
            return str(known["revision"])
        raise InvalidModel(
            f"{folder} holds a download of {known.get('repo')} at {known.get('revision')} that was cut off; go on with "
            f"that, or name another folder"
        )
    if folder.exists() and any(folder.iterdir()):
        raise InvalidModel(f"{folder} exists and is not empty; name a new folder, or remove it first")
    return str(api.model_info(repo, revision=revision).sha)


def choose_files(repo: str, files: Sequence[RepoFile]) -> list[RepoFile]:
    """Return the files of a repository that make up a model.

    Raises:
        InvalidModel: A part is not there, or only as a pickle.
    """
    wanted = [item for item in files if ALLOWED.fullmatch(item.path)]
    present = {item.path for item in files}
    configs = (f"{part}/{layout.CONFIG_FILE}" for part in layout.CLASSES)
    for name in (layout.MODEL_INDEX_FILE, layout.TOKENIZER_FILE, *configs):
        if name not in present:
            raise InvalidModel(f"{repo} has no {name}; only models in the diffusers layout can be pulled")
    for part in layout.CLASSES:
        inside = [item.path for item in files if item.path.startswith(f"{part}/")]
        if not any(name.endswith(".safetensors") for name in inside):
            pickles = [name for name in inside if name.endswith(PICKLES)]
            what = f"only the pickle {pickles[0]}, which can run any code" if pickles else "no weights"
            raise InvalidModel(f"{repo} has {what} in {part}/; take a repository with safetensors files")
    return wanted


def check_file(path: Path, item: RepoFile) -> None:
    """Compare a downloaded file with what the hub says of it.

    Raises:
        InvalidModel: Size or hash differ. The file is removed, so that the next try downloads it again.
    """
    got = path.stat().st_size
    if got != item.size:
        path.unlink()
        raise InvalidModel(f"{path} has {got} bytes where the hub says {item.size}; it was removed: pull again")
    expected, actual = (item.lfs.sha256, file_sha256(path)) if item.lfs else (item.blob_id, git_blob(path))
    if actual != expected:
        path.unlink()
        raise InvalidModel(f"{path} has hash {actual} where the hub says {expected}; it was removed: pull again")


def git_blob(path: Path) -> str:
    """Return the Git object id of a file."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fetch_decoder(folder: Path, source: DecoderSource) -> None:
    """Download the tiny decoder's weights, going on where an earlier try ended, and write its config.

    Raises:
        InvalidModel: The file is not the one that was wanted.
        HubUnavailable: The server does not answer, or ended too early.
    """
    layout.write_json(folder / layout.CONFIG_FILE, layout.TINY_DECODER_CONFIG)
    target = folder / layout.WEIGHTS_FILE
    if target.is_file():
        return
    part = folder / f".{layout.WEIGHTS_FILE}.part"
    try:
        _fetch(source.url, part)
    except (OSError, urllib.error.URLError) as err:
        raise HubUnavailable(f"{source.url} cannot be read: {err}; run the same command again to go on") from err
    if part.stat().st_size < source.size_bytes:
        raise HubUnavailable(
            f"{source.url} ended after {part.stat().st_size} of {source.size_bytes} bytes; run the same command again"
        )
    if part.stat().st_size != source.size_bytes or git_blob(part) != source.blob:
        part.unlink()
        raise InvalidModel(f"{source.url} is not the file that was wanted (Git object {source.blob}); pull again")
    part.replace(target)


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - our constant
    try:
        answer: Any = urllib.request.urlopen(request, timeout=60)  # noqa: S310 - as above
    except urllib.error.HTTPError as err:
        if err.code == 416:  # nothing is left to send: the part is whole
            err.close()
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as stream:
        shutil.copyfileobj(answer, stream, BLOCK)


def _check_room(folder: Path, size: int) -> None:
    have = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < size - have + SPARE_BYTES:
        raise InvalidModel(
            f"{folder} has {free / 1e9:.1f} GB free; the model takes {(size - have) / 1e9:.1f} GB more, and 1 GB is to "
            f"stay free: name a folder on a larger disk"
        )


def _finish(folder: Path, source: dict[str, str]) -> None:
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    write_manifest(folder, source=source)
    (folder / STATE_FILE).unlink()


@contextmanager
def _hub_errors(repo: str, revision: str) -> Generator[None]:
    """Say in our words what the hub's library raises."""
    try:
        yield
    except GatedRepoError as err:
        raise InvalidModel(f"{repo} is gated; accept its terms on the hub, then set HF_TOKEN") from err
    except RepositoryNotFoundError as err:
        raise InvalidModel(f"the hub has no repository {repo}, or it is private; set HF_TOKEN if it is") from err
    except RevisionNotFoundError as err:
        raise InvalidModel(f"{repo} has no revision {revision!r}; take a commit from the hub's history page") from err
    except HFValidationError as err:
        raise InvalidModel(f"{repo!r} is not a repository name; use owner/name") from err
    except (HTTP_ERROR, LocalEntryNotFoundError, ConnectionError, TimeoutError) as err:
        raise HubUnavailable(
            f"the hub does not answer for {repo}: {str(err).partition(chr(10))[0]}; check the network and run the same "
            f"command again: it goes on where it ended"
        ) from err
