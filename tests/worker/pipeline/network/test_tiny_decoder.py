from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.network.plan import RenderPlan, cpu_plan
from reelmill_worker.pipeline.network.tiny_decoder import TinyDecoder

WIDTHS = (24, 16, 8, 8)
PLAN = cpu_plan()


def random_weights(widths: tuple[int, int, int, int] = WIDTHS) -> dict[str, Tensor]:
    """The decoder half of a TAEHV file, by the reference's names; sizes as in spec 6.1, scaled down."""
    generator = torch.Generator().manual_seed(0)
    a, b, c, d = widths

    def conv(name: str, out: int, into: int, size: int = 3, *, bias: bool = True) -> dict[str, Tensor]:
        weight = torch.randn((out, into, size, size), generator=generator) / (into * size * size) ** 0.5
        return {f"{name}.weight": weight} | (
            {f"{name}.bias": 0.1 * torch.randn(out, generator=generator)} if bias else {}
        )

    tensors = conv("decoder.1", a, 16) | conv("decoder.22", 3, d)
    for start, width in ((3, a), (9, b), (15, c)):
        for place in range(start, start + 3):
            tensors |= conv(f"decoder.{place}.conv.0", width, 2 * width)
            tensors |= conv(f"decoder.{place}.conv.2", width, width) | conv(f"decoder.{place}.conv.4", width, width)
    for place, out, into in ((7, a, a), (13, 2 * b, b), (19, 2 * c, c)):
        tensors |= conv(f"decoder.{place}.conv", out, into, 1, bias=False)
    for place, out, into in ((8, b, a), (14, c, b), (20, d, c)):
        tensors |= conv(f"decoder.{place}", out, into, bias=False)
    return tensors


class MemBlock(nn.Module):
    """Written from the specification's words, as an independent reference: all frames at once."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(2 * width, width, 3, padding=1), *(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))]
        self.conv = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])

    def forward(self, x: Tensor) -> Tensor:
        past = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
        return torch.relu(self.conv(torch.cat([x, past], 1)) + x)


class TGrow(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width * stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).reshape(-1, *x.shape[1:])


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


@torch.no_grad()
def reference(tensors: dict[str, Tensor], latents: Tensor) -> Tensor:
    """All frames at once, in the reference's order of operations: (f, h, w, 3) in 0 to 1, not rounded."""
    a, b, c, d = WIDTHS
    levels: list[nn.Module] = []
    for width, out, stride in ((a, b, 1), (b, c, 2), (c, d, 2)):
        levels += [MemBlock(width) for _ in range(3)]
        levels += [nn.Upsample(scale_factor=2), TGrow(width, stride), nn.Conv2d(width, out, 3, padding=1, bias=False)]
    decoder = nn.Sequential(
        Clamp(), nn.Conv2d(16, a, 3, padding=1), nn.ReLU(), *levels, nn.ReLU(), nn.Conv2d(d, 3, 3, padding=1)
    )
    decoder.load_state_dict({name.removeprefix("decoder."): tensor for name, tensor in tensors.items()})
    return decoder(latents[0].transpose(0, 1)).clamp(0, 1)[3:].permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_weights()


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return torch.randn((1, 16, 21, 6, 8), generator=torch.Generator().manual_seed(1))


def test_21_latent_frames_become_81_frames_of_8_times_the_size(tensors: dict[str, Tensor], latents: Tensor) -> None:
    frames = TinyDecoder.load(tensors, plan=PLAN).decode(latents)

    assert frames.shape == (81, 48, 64, 3)
    assert frames.dtype == torch.uint8


def test_it_equals_the_reference_to_one_rounding(tensors: dict[str, Tensor], latents: Tensor) -> None:
    want = reference(tensors, latents)

    frames = TinyDecoder.load(tensors, plan=PLAN).decode(latents)

    assert want.std() > 0.1  # a flat picture would prove nothing
    torch.testing.assert_close(frames / 255, want, rtol=0, atol=0.5 / 255 + 1e-5)


@pytest.mark.parametrize("chunk", [2, 3, 5, 20])
def test_chunks_of_any_size_give_the_same_bits_as_all_at_once(
    tensors: dict[str, Tensor], latents: Tensor, chunk: int
) -> None:
    whole = TinyDecoder.load(tensors, plan=replace(PLAN, decode_chunk=21)).decode(latents)

    pieces = list(TinyDecoder.load(tensors, plan=replace(PLAN, decode_chunk=chunk)).decode_chunks(latents))

    assert pieces[0].shape[0] == 4 * chunk - 3
    assert torch.equal(torch.cat(pieces), whole)


def test_single_frames_give_the_same_picture_to_one_rounding(tensors: dict[str, Tensor], latents: Tensor) -> None:
    # Of one frame a convolution library takes another path than of several, which adds in another order.
    whole = TinyDecoder.load(tensors, plan=PLAN).decode(latents)

    frames = TinyDecoder.load(tensors, plan=replace(PLAN, decode_chunk=1)).decode(latents)

    assert (frames.int() - whole.int()).abs().max() <= 1


@pytest.mark.parametrize(("latent_frames", "frames"), [(1, 1), (2, 5), (3, 9), (9, 33), (13, 49)])
def test_every_length_on_the_menu_comes_out_whole(
    tensors: dict[str, Tensor], latents: Tensor, latent_frames: int, frames: int
) -> None:
    out = TinyDecoder.load(tensors, plan=PLAN).decode(latents[:, :, :latent_frames])

    assert out.shape[0] == frames


def test_a_clip_does_not_remember_the_one_before_it(tensors: dict[str, Tensor], latents: Tensor) -> None:
    decoder = TinyDecoder.load(tensors, plan=PLAN)
    first = decoder.decode(latents)

    decoder.decode(-latents)

    assert torch.equal(decoder.decode(latents), first)


def test_all_chunks_share_one_compiled_graph(
    tensors: dict[str, Tensor], latents: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = CompileCounter()
    compile_with = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda run, *, options=None, **rest: compile_with(run, backend=counter, **rest)
    )
    plan = RenderPlan(device="cpu", gpu="cpu", dtype="float32", linears="fp8", compile=True)

    frames = TinyDecoder.load(tensors, plan=plan).decode(latents[:, :, :13])  # 13 = 4 x 3 + 1: the last is padded

    assert counter.frame_count == 1
    assert torch.equal(frames, TinyDecoder.load(tensors, plan=PLAN).decode(latents[:, :, :13]))


def test_a_missing_tensor_is_named(tensors: dict[str, Tensor]) -> None:
    lacking = {name: tensor for name, tensor in tensors.items() if name != "decoder.13.conv.weight"}

    with pytest.raises(InvalidModel, match=r"no tensor 'decoder\.13\.conv\.weight'"):
        TinyDecoder.load(lacking, plan=PLAN)


def test_widths_that_do_not_fit_each_other_are_refused(tensors: dict[str, Tensor]) -> None:
    wrong = tensors | {"decoder.14.weight": torch.zeros(8, 17, 3, 3)}

    with pytest.raises(InvalidModel, match="level 1: convolution takes 17 channels, wanted 16"):
        TinyDecoder.load(wrong, plan=PLAN)
