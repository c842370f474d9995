"""Files from elsewhere: what unpacks to more than it is, nests without end, or is something else under its name."""

from __future__ import annotations

import base64
import gzip
import json
import os
import resource
import shutil
import zlib
from pathlib import Path

import pytest

from fixtures.cli import Cli, cli  # noqa: F401 - a fixture
from reelmill_common.archive import MOST_LINE_BYTES, newest_archive, read_archive
from reelmill_common.errors import InvalidJob, InvalidModel
from reelmill_common.schedules import MOST_PIECE_BYTES, unpack
from reelmill_common.storage.folder import FolderStore
from reelmill_worker.pipeline.checkpoint.safetensors_file import read_folder, read_header
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder

DEEP = "[" * 200_000
BOMB_BYTES = 400_000_000


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Return a megabyte or two that unpack to 400, in one line."""
    packing, block = zlib.compressobj(1, zlib.DEFLATED, 31), b" " * 10_000_000
    return b"".join([*(packing.compress(block) for _ in range(BOMB_BYTES // len(block))), packing.flush()])


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        pytest.param(b"no gzip", "cannot be read as an archive", id="no gzip"),
        pytest.param(gzip.compress(b'{"kind": "batch"}\n')[:-9], "cannot be read as an archive", id="cut off"),
        pytest.param(gzip.compress(DEEP.encode()), "cannot be read as an archive", id="nested without end"),
        pytest.param(gzip.compress(b"[1, 2]\n"), "an object is wanted", id="no object"),
        pytest.param(gzip.compress(b"\xff\xfe\n"), "cannot be read as an archive", id="no text"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, advice: str) -> None:
    store = FolderStore(tmp_path)
    store.put("night/archive-x.jsonl.gz", content, content_type="application/gzip")

    with pytest.raises(InvalidJob, match=advice):
        list(read_archive(store, newest_archive(store, "night")))


def test_an_archive_that_unpacks_to_much_more_costs_no_memory(tmp_path: Path, bomb: bytes) -> None:
    store = FolderStore(tmp_path)
    store.put("night/archive-x.jsonl.gz", bomb, content_type="application/gzip")
    before = peak_mb()

    with pytest.raises(InvalidJob, match=f"a line of more than {MOST_LINE_BYTES:,} bytes"):
        list(read_archive(store, "night/archive-x.jsonl.gz"))

    assert peak_mb() - before < 100


def test_the_rows_of_a_schedule_that_unpack_to_much_more_are_refused(bomb: bytes) -> None:
    packing = zlib.compressobj(1)
    block = b" " * 10_000_000
    piece = b"".join([*(packing.compress(block) for _ in range(30)), packing.flush()])
    before = peak_mb()

    with pytest.raises(InvalidJob, match=f"unpacks to more than {MOST_PIECE_BYTES:,} bytes"):
        list(unpack(base64.b85encode(piece).decode(), "night"))

    assert peak_mb() - before < 300


@pytest.mark.parametrize("text", ["", "no base85 \x01", '{"a": 1}', "[[1]]", "[1]", '[["x"]]', '[["x", "{}"]]', DEEP])
def test_rows_of_a_schedule_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidJob):
        list(unpack(base64.b85encode(zlib.compress(text.encode())).decode() if text else "", "night"))


@pytest.mark.services
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("deep.jsonl", '{"prompt": ' + DEEP + "\n", id="JSON nested without end"),
        pytest.param("number.jsonl", '{"prompt": "a fox", "seed": ' + "9" * 100_000 + "}\n", id="an endless number"),
        pytest.param("deep.yaml", "- prompt: " + DEEP, id="YAML nested without end"),
        pytest.param("tags.yaml", "- !!python/object/apply:os.system [id]\n", id="YAML that runs code"),
        pytest.param("long.txt", "fox " * 500_000 + "\n", id="a prompt of two megabytes"),
        pytest.param("cell.csv", 'prompt\n"' + "fox " * 500_000 + '"\n', id="a cell of two megabytes"),
        pytest.param("nul.txt", "a fox\0\n", id="a NUL"),
    ],
)
def test_a_hostile_prompt_file_is_refused_and_enqueues_nothing(cli: Cli, tmp_path: Path, name: str, text: str) -> None:  # noqa: F811
    (tmp_path / name).write_text(text)

    ran = cli("submit", tmp_path / name)

    assert ran.status == 65
    assert "Traceback" not in ran.err
    assert len(ran.err) < 2_000
    assert cli("status").out.startswith("no batches")


def weights(header: object, data: bytes = b"", *, raw: bytes | None = None) -> bytes:
    """Return a safetensors file of any header."""
    text = json.dumps(header).encode() if raw is None else raw
    return len(text).to_bytes(8, "little") + text + data


def entry(start: int, end: int, shape: object = (2,)) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param((2**63).to_bytes(8, "little") + b"{}", id="a header of exabytes"),
        pytest.param((200_000_000).to_bytes(8, "little") + b"{}" * 8, id="a header beyond the limit"),
        pytest.param(weights(None, raw=DEEP.encode()), id="a header nested without end"),
        pytest.param(weights(None, raw=b'{"x": ' + b"9" * 100_000 + b"}"), id="an endless number"),
        pytest.param(weights({"x": entry(0, 8, [float("inf")])}, bytes(8)), id="an endless shape"),
        pytest.param(weights({"x": entry(0, 8, None)}, bytes(8)), id="no shape"),
        pytest.param(weights({"x": 7}), id="an entry that is none"),
        pytest.param(weights(["x"]), id="a list"),
        pytest.param(weights({"x": entry(0, 10**30)}, bytes(8)), id="data beyond the file"),
    ],
)
def test_a_hostile_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    before = peak_mb()

    with pytest.raises(InvalidModel, match=r"x\.safetensors"):
        read_header(tmp_path / "x.safetensors")

    assert peak_mb() - before < 100


@pytest.mark.parametrize(
    ("header", "size"),
    [
        pytest.param({"a": entry(0, 8), "b": entry(4, 12)}, 12, id="tensors that overlap"),
        pytest.param({"a": entry(0, 8), "b": entry(16, 24)}, 24, id="a hole between tensors"),
        pytest.param({"a": entry(0, 8), "b": entry(8, 16, [2**40, 2**40])}, 16, id="a shape larger than its data"),
        pytest.param({"a": entry(8, 0), "b": entry(0, 8)}, 8, id="an end before the start"),
    ],
)
def test_tensors_that_do_not_lie_as_the_format_wants_are_never_read(tmp_path: Path, header: object, size: int) -> None:
    (tmp_path / "x.safetensors").write_bytes(weights(header, bytes(size)))

    with pytest.raises(InvalidModel, match="cannot be read"):
        _ = read_folder(tmp_path)["a"]


@pytest.mark.parametrize("place", ["config.json", "diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("lead", ["a pipe", "an endless device", "a folder", "a file that is not a model", "nowhere"])
def test_a_link_in_a_model_folder_shows_and_runs_nothing(
    tiny_model: Path, tmp_path: Path, place: str, lead: str
) -> None:
    model, secret = tmp_path / "model", tmp_path / "secret"
    shutil.copytree(tiny_model, model)
    (model / "manifest.json").unlink()
    secret.write_text("root:hunter2")
    target = {"an endless device": Path("/dev/zero"), "a folder": tmp_path, "a file that is not a model": secret}
    path = model / "vae" / place
    path.unlink()
    if lead == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target.get(lead, tmp_path / "nowhere"))

    with pytest.raises(InvalidModel) as caught:
        ModelFolder.open(model)

    assert "vae" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_model_of_links_to_its_files_opens(tiny_model: Path, tmp_path: Path) -> None:
    """The cache of Hugging Face is made of such links."""
    link = tmp_path / "model"
    shutil.copytree(tiny_model, link, copy_function=_link)

    assert ModelFolder.open(link).model_hash == ModelFolder.open(tiny_model).model_hash


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)
