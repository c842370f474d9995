"""LoRA files: small changes to a transformer's linears, merged into the weights before these are quantised.

After quantising it would be too late: the change is smaller than a step of e4m3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.safetensors_file import TensorEntry, TensorFiles, read_header

NAME = re.compile(
    r"(?:base_model\.model\.|transformer\.|model\.|diffusion_model\.|lora_unet_+)*(?P<target>.+?)\."
    r"(?:lora_(?P<half>A|B|down|up)(?:\.default)?\.weight|(?P<alpha>alpha))"
)
"""Names as diffusers (`transformer.…`), PEFT (`base_model.model.…`), ComfyUI (`diffusion_model.…`) and kohya
(`lora_unet_…`, with underscores for points) write them."""
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
"""Likewise, of those outside the blocks."""
FLAT = {name.replace(".", "_"): name for name in (*OFFICIAL, *OFFICIAL.values(), *OUTSIDE, *OUTSIDE.values())}
"""As kohya writes them."""


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
    """

    path: Path
    strength: float
    tensors: TensorFiles
    targets: Mapping[str, Mapping[str, str]]

    @classmethod
    def open(cls, path: Path, *, strength: float = 1.0) -> Lora:
        """Open a LoRA file and sort its tensors.

        Raises:
            InvalidModel: It is no safetensors file, or in names that are not known.
        """
        if not path.is_file():
            raise InvalidModel(f"{path} is no file; name a LoRA in safetensors format")
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
        return cls(path=path, strength=strength, tensors=TensorFiles(entries), targets=targets)

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
        """Return what is added to a linear's weight: (n, k) float32, strength x alpha / rank x B A."""
        halves = self.targets[target]
        into, out = self.tensors[halves["A"]].float(), self.tensors[halves["B"]].float()  # (r, k), (n, r)
        rank = into.shape[0]
        alpha = float(self.tensors[halves["alpha"]]) if "alpha" in halves else float(rank)
        return (self.strength * alpha / rank) * (out @ into)


def merged(name: str, weight: Tensor, loras: Sequence[Lora]) -> Tensor:
    """Return a weight with the changes of all LoRA files added; in float32 if there are any."""
    target = name.removesuffix(".weight")
    for lora in loras:
        if name.endswith(".weight") and target in lora.targets:
            weight = weight.float() + lora.change(target)
    return weight
