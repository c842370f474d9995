"""Weights files: what their headers say, and their tensors one at a time. Pickles are never opened."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.layout import read_json

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HEADER_LIMIT = 100_000_000
"""Bytes; the format's own limit."""
CONVERT = (
    "convert it where you trust its source: "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True, map_location='cpu'), 'x.safetensors')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor as its file's header describes it.

    Attributes:
        file: Where it is.
        dtype: In safetensors' spelling: F32, BF16, F8_E4M3.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of one or more files as a mapping that reads each when it is asked for.

    Nothing is kept: a tensor is a view of the mapped file until it is copied, so no model is in memory twice.
    """

    def __init__(self, entries: Mapping[str, TensorEntry]) -> None:
        """Take what `read_folder` found."""
        self.entries = entries
        self._open: dict[Path, Any] = {}

    def __getitem__(self, name: str) -> Tensor:
        """Read a tensor; raises KeyError for a name that is not there."""
        file = self.entries[name].file
        try:
            if file not in self._open:
                self._open[file] = safe_open(file, framework="pt")  # refuses tensors that overlap or leave holes
            tensor: Tensor = self._open[file].get_tensor(name)
        except SafetensorError as err:
            raise InvalidModel(f"{file}: tensor {name} cannot be read: {err}; download the file again") from err
        return tensor

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self.entries)


def read_folder(folder: Path) -> TensorFiles:
    """Read the headers of a folder's safetensors files, split or not.

    Raises:
        InvalidModel: There is none, there are only pickles, or a file is cut off, damaged or not what its name says.
    """
    files = sorted(folder.glob("*.safetensors"))
    index = sorted(folder.glob("*.safetensors.index.json"))
    if not files:
        raise InvalidModel(_no_weights(folder))
    if index:
        files = _indexed(index[0])
    elif len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise InvalidModel(f"{folder} holds several weights files and no index ({names}); keep one, or add the index")
    entries: dict[str, TensorEntry] = {}
    for file in files:
        entries.update(read_header(file))
    return TensorFiles(entries)


def _no_weights(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is missing; download the model again (reelmill model pull)"
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles:
        return f"{folder / pickles[0]} is a pickle, which can run any code when it is opened; {CONVERT}"
    return f"{folder} holds no .safetensors file; download the model again (reelmill model pull)"


def _indexed(index: Path) -> list[Path]:
    shards: object = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InvalidModel(f"{index} has no weight_map; download it again")
    names = sorted({str(name) for name in shards.values()})
    for name in names:
        file = index.parent / name
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InvalidModel(f"{index} names {name!r}; only .safetensors files beside it are read")
        if not file.is_file():
            raise InvalidModel(f"{file} is missing; {index.name} names it: download it again")
    return [index.parent / name for name in names]


def read_header(file: Path) -> dict[str, TensorEntry]:
    """Read what a safetensors file says of its tensors, and check that the file is as long as it says.

    Raises:
        InvalidModel: The file is cut off, damaged, or something else under that name.
    """
    if not file.is_file():  # opening a pipe would wait for ever
        raise InvalidModel(f"{file} is not a file; download it again")
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
            raise InvalidModel(f"{file} is a pickle under the name of a safetensors file; {CONVERT}")
        if len(start) < 8 or not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise InvalidModel(f"{file} is not a safetensors file, or cut off in its header; download it again")
        text = stream.read(length)
    header: Any = None
    with suppress(ValueError, RecursionError):
        header = json.loads(text)
    if not isinstance(header, dict):
        raise InvalidModel(f"{file} has a damaged header; download it again")
    header.pop("__metadata__", None)
    try:
        entries = {
            str(name): TensorEntry(file=file, dtype=str(item["dtype"]), shape=tuple(int(n) for n in item["shape"]))
            for name, item in header.items()
        }
        end = max((int(item["data_offsets"][1]) for item in header.values()), default=0)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as err:
        raise InvalidModel(f"{file} has a damaged header ({err}); download it again") from err
    if size != 8 + length + end:
        raise InvalidModel(f"{file} has {size} bytes where its header wants {8 + length + end}; download it again")
    return entries
