"""The high-quality decoder: diffusers' `AutoencoderKLWan`, one latent frame at a time, straight to uint8 frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.network.plan import RenderPlan


class WanDecoder:
    """A loaded decoder. Its encoder half is never loaded: nothing here encodes."""

    def __init__(self, vae: Any, plan: RenderPlan) -> None:
        """Take a loaded autoencoder; `load` makes it from a file."""
        self._vae = vae
        self._plan = plan
        shape = (1, -1, 1, 1, 1)
        self._mean = torch.tensor(vae.config.latents_mean, device=plan.device).view(shape)
        self._std = torch.tensor(vae.config.latents_std, device=plan.device).view(shape)

    @classmethod
    def load(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, plan: RenderPlan) -> WanDecoder:
        """Load the decoder's half of a diffusers VAE folder, in the plan's dtype.

        Args:
            config: The VAE's config.json.
            tensors: By diffusers' names; those of the encoder may be there or not.
            plan: Device and dtype.

        Raises:
            InvalidModel: A tensor is missing, too much or mis-shaped.
        """
        with torch.device("meta"):
            vae: Any = AutoencoderKLWan.from_config(dict(config))
        del vae.encoder, vae.quant_conv
        wanted = vae.state_dict()
        missing = sorted(wanted.keys() - tensors.keys())
        if missing:
            raise InvalidModel(f"the VAE's file has no tensor {missing[0]!r} ({len(missing)} missing); pull it again")
        for name, tensor in wanted.items():
            if tensors[name].shape != tensor.shape:
                got, want = tuple(tensors[name].shape), tuple(tensor.shape)
                raise InvalidModel(f"the VAE's {name} has shape {got}; its config.json wants {want}")
        vae.load_state_dict({name: tensors[name].to(plan.device, plan.torch_dtype) for name in wanted}, assign=True)
        return cls(vae.eval().requires_grad_(requires_grad=False), plan)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Return all frames at once: (f, h, w, 3) uint8 on the plan's device.

        Args:
            latents: (1, 16, t, h / 8, w / 8), as the transformer leaves them (normalised).
        """
        return torch.cat(list(self.decode_chunks(latents)))

    @torch.inference_mode()
    def decode_chunks(self, latents: Tensor) -> Iterator[Tensor]:
        """Yield the frames in order: one for the first latent frame, then four for each; (f, h, w, 3) uint8.

        The same calls as `AutoencoderKLWan.decode` makes, without its joining of all frames so far after each one.
        """
        vae = self._vae
        x = (latents.to(self._plan.device).float() * self._std + self._mean).to(self._plan.torch_dtype)
        x = vae.post_quant_conv(x)
        memory: list[Any] = [None] * _convolutions(vae)
        for frame in range(x.shape[2]):
            out = vae.decoder(x[:, :, frame : frame + 1], feat_cache=memory, feat_idx=[0], first_chunk=frame == 0)
            yield to_uint8(out[0].clamp(-1, 1))


def _convolutions(vae: Any) -> int:
    return sum(type(module).__name__ == "WanCausalConv3d" for module in vae.decoder.modules())


def to_uint8(frames: Tensor) -> Tensor:
    """Turn (3, f, h, w) in -1 to 1 into (f, h, w, 3) uint8, rounded."""
    return (frames.float() * 127.5 + 128).to(torch.uint8).permute(1, 2, 3, 0).contiguous()
