"""LoRA files: small changes to a transformer's linears, merged into the weights before these are quantised.

After quantising it would be too late: the change is smaller than a step of e4m3.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.layout import read_json
from reelmill_worker.pipeline.checkpoint.safetensors_file import TensorEntry, TensorFiles, read_header

NAME = re.compile(
    r"(?:base_model\.model\.|transformer\.|model\.|diffusion_model\.|lora_unet_+)*(?P<target>.+?)\."
    r"(?:lora_(?P<half>A|B|down|up)(?:\.default)?\.weight|(?P<alpha>alpha))"
)
"""Names as diffusers (`transformer.…`), PEFT (`base_model.model.…`), ComfyUI (`diffusion_model.…`) and kohya
(`lora_unet_…`, with underscores for points) write them."""
MOST_ALPHA = 1e9
HALVES = {"A": "A", "B": "B", "down": "A", "up": "B", None: "alpha"}
OFFICIAL: Mapping[str, str] = {
    **{f"self_attn.{part}": f"attn1.to_{part}" for part in "qkv"},
    **{f"cross_attn.{part}": f"attn2.to_{part}" for part in "qkv"},
    "self_attn.o": "attn1.to_out.0",
    "cross_attn.o": "attn2.to_out.0",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}
"""Linears of a block as Wan's own code names them (wan/modules/model.py at 9737cba9), by diffusers' names."""
OUTSIDE: Mapping[str, str] = {
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
}
"""The linears outside the blocks, likewise."""
FLAT = {name.replace(".", "_"): name for name in (*OFFICIAL, *OFFICIAL.values(), *OUTSIDE, *OUTSIDE.values())}
"""The same names as kohya writes them, by the names with points."""


def diffusers_name(name: str) -> str:
    """Return a linear's name in diffusers' spelling, from Wan's own or kohya's; any other stays as it is."""
    block = re.fullmatch(r"blocks[._](\d+)[._](.+)", name)
    if block is None:
        official = FLAT.get(name, name)
        return OUTSIDE.get(official, official)
    part = FLAT.get(block[2], block[2])
    return f"blocks.{block[1]}.{OFFICIAL.get(part, part)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """One LoRA file, opened.

    Attributes:
        path: The file.
        strength: Factor on its changes; 1 is what it was trained with.
        tensors: Its tensors, under their own names.
        targets: For each linear, without `.weight`: the names of A, B and, where there is one, alpha.
        config: PEFT's configuration that it was trained with, by PEFT's names; empty if nothing tells it.
    """

    path: Path
    strength: float
    tensors: TensorFiles
    targets: Mapping[str, Mapping[str, str]]
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def open(cls, path: Path, *, strength: float = 1.0) -> Lora:
        """Open a LoRA file and sort its tensors.

        Raises:
            InvalidModel: It is not a safetensors file, or in names that are not known.
        """
        if not path.is_file():
            raise InvalidModel(f"{path} is not a file; name a LoRA in safetensors format")
        entries = read_header(path)
        targets: dict[str, dict[str, str]] = {}
        for name in entries:
            found = NAME.fullmatch(name)
            if found is None:
                raise InvalidModel(
                    f"{path}: {name} is not named as diffusers, PEFT, ComfyUI or kohya name LoRA tensors "
                    f"(….lora_A.weight or ….lora_down.weight); convert it with diffusers' `load_lora_weights` and "
                    f"`save_lora_weights`"
                )
            halves = targets.setdefault(diffusers_name(found["target"]), {})
            if halves.setdefault(HALVES[found["half"]], name) != name:
                raise InvalidModel(f"{path}: {name} and {halves[HALVES[found['half']]]} change the same linear")
        for target, halves in targets.items():
            if not {"A", "B"} <= halves.keys():
                raise InvalidModel(f"{path}: {target} lacks lora_A or lora_B (lora_down, lora_up); it is incomplete")
        return cls(path=path, strength=strength, tensors=TensorFiles(entries), targets=targets, config=_config(path))

    def check(self, model: Mapping[str, TensorEntry]) -> None:
        """Refuse a file that changes what the model does not have, before anything is written.

        Raises:
            InvalidModel: A target is unknown, or its sizes differ.
        """
        for target, halves in self.targets.items():
            weight = model.get(f"{target}.weight")
            if weight is None:
                raise InvalidModel(f"{self.path} changes {target}, which the transformer does not have")
            if "alpha" in halves and math.prod(self.tensors.entries[halves["alpha"]].shape) != 1:
                raise InvalidModel(f"{self.path}: {halves['alpha']} is not one number")
            into, out = (self.tensors.entries[halves[half]].shape for half in ("A", "B"))
            if len(into) != 2 or len(out) != 2 or (out[0], into[1]) != weight.shape or not out[1] == into[0] > 0:
                raise InvalidModel(
                    f"{self.path}: {target} has A {into} and B {out}, which make no change of a weight {weight.shape}; "
                    f"the file is of another model"
                )

    def change(self, target: str) -> Tensor:
        """Return what is added to a linear's weight: (n, k) float32, strength x alpha / rank x B A.

        With rsLoRA alpha is divided by the root of the rank.
        """
        halves = self.targets[target]
        into, out = self.tensors[halves["A"]].float(), self.tensors[halves["B"]].float()  # (r, k), (n, r)
        rank = into.shape[0]
        alpha = float(self.tensors[halves["alpha"]]) if "alpha" in halves else self._alpha(target, rank)
        rooted = "alpha" not in halves and self.config.get("use_rslora") is True
        return (self.strength * alpha / (math.sqrt(rank) if rooted else rank)) * (out @ into)

    def _alpha(self, target: str, rank: int) -> float:
        """Return the configuration's alpha of a linear; the rank, which changes nothing, where nothing tells it."""
        patterns = self.config.get("alpha_pattern") or {}
        own = [alpha for name, alpha in patterns.items() if f".{target}".endswith(f".{diffusers_name(name)}")]
        return float(own[0] if own else self.config.get("lora_alpha", rank))


def merged(name: str, weight: Tensor, loras: Sequence[Lora]) -> Tensor:
    """Return a weight with the changes of all LoRA files added; in float32 if there are any."""
    target = name.removesuffix(".weight")
    for lora in loras:
        if name.endswith(".weight") and target in lora.targets:
            weight = weight.float() + lora.change(target)
    return weight


def _config(path: Path) -> dict[str, Any]:
    """Return the configuration that PEFT writes beside a file, or diffusers into its header; nothing if there is none.

    Raises:
        InvalidModel: It is there, and cannot be read.
    """
    beside = path.with_name("adapter_config.json")
    if path.name == "adapter_model.safetensors" and beside.is_file():
        return _checked(path, read_json(beside))
    try:
        with safe_open(path, framework="pt") as opened:
            text = (opened.metadata() or {}).get("lora_adapter_metadata")
    except SafetensorError as err:
        raise InvalidModel(f"{path} cannot be read: {err}; download it again") from err
    found: Any = {} if text is None else None
    with suppress(ValueError, RecursionError):
        found = found if text is None else json.loads(text)
    if not isinstance(found, dict):
        raise InvalidModel(f"{path}: lora_adapter_metadata in its header is not a JSON object; save the file again")
    return _checked(path, {str(name).removeprefix("transformer."): value for name, value in found.items()})


def _checked(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    patterns = config.get("alpha_pattern") or {}
    alphas = [config.get("lora_alpha", 1), *(patterns.values() if isinstance(patterns, dict) else [patterns])]
    wrong = [alpha for alpha in alphas if type(alpha) not in (int, float) or not abs(alpha) < MOST_ALPHA]
    if wrong:
        raise InvalidModel(f"{path}: alpha in its configuration is {str(wrong[0])[:40]!r}, wanted a number")
    return config
