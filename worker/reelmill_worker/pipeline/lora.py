"""LoRA files: small changes to a transformer's linears, merged into the weights before these are quantised.

After quantising it would be too late: the change is smaller than a step of e4m3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.safetensors_file import TensorEntry, TensorFiles, read_header

NAME = re.compile(
    r"(?:base_model\.model\.|transformer\.|diffusion_model\.)*(?P<target>.+?)\."
    r"(?:lora_(?P<half>[AB])(?:\.default)?\.weight|(?P<alpha>alpha))"
)
"""Names as diffusers (`transformer.…`) and PEFT (`base_model.model.…`) write them."""


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
            InvalidModel: It is no safetensors file, or not in diffusers' or PEFT's names.
        """
        if not path.is_file():
            raise InvalidModel(f"{path} is no file; name a LoRA in safetensors format")
        entries = read_header(path)
        targets: dict[str, dict[str, str]] = {}
        for name in entries:
            found = NAME.fullmatch(name)
            if found is None:
                raise InvalidModel(
                    f"{path}: {name} is not named as diffusers or PEFT name LoRA tensors (….lora_A.weight); convert it "
                    f"with diffusers' `load_lora_weights` and `save_lora_weights`"
                )
            targets.setdefault(found["target"], {})[found["half"] or "alpha"] = name
        for target, halves in targets.items():
            if not {"A", "B"} <= halves.keys():
                raise InvalidModel(f"{path}: {target} lacks lora_A or lora_B; the file is incomplete")
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
            into, out = (self.tensors.entries[halves[half]].shape for half in ("A", "B"))
            if len(into) != 2 or len(out) != 2 or (out[0], into[1]) != weight.shape or out[1] != into[0]:
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
