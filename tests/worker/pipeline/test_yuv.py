"""RGB to video planes, held against swscale's most exact conversion and against the standard's own numbers."""

from __future__ import annotations

import av
import av.filter
import numpy as np
import pytest
import torch
from torch import Tensor

from reelmill_worker.pipeline.yuv import to_yuv420

# Chroma on the left column as H.264 has it; area weights, since swscale's others sharpen or blur while they shrink.
SWSCALE = "out_color_matrix=bt709:out_range=tv:out_chroma_loc=left:flags=area+accurate_rnd+full_chroma_inp"


def random_pictures(height: int, width: int) -> Tensor:
    """Noise in every pixel and channel: the worst case, no neighbour helps."""
    return torch.randint(0, 256, (3, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def landscape(height: int, width: int) -> Tensor:
    """What a clip looks like: soft light, hard edges in saturated colours, fine grain."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(x / 23 + y / 31), torch.cos(x / 41 - y / 17), torch.sin(x / 13) * torch.cos(y / 37)]
    picture = 128 + 100 * torch.stack(waves, dim=2)
    picture[height // 3 : height // 2, width // 5 : width // 2] = torch.tensor([250.0, 20.0, 30.0])
    grain = torch.randn(picture.shape, generator=torch.Generator().manual_seed(6)) * 3
    return (picture + grain).clamp(0, 255).to(torch.uint8)[None]


def by_swscale(frames: Tensor) -> np.ndarray:
    height, width = frames.shape[1:3]
    graph = av.filter.Graph()
    nodes = [
        graph.add("buffer", f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/16"),
        graph.add("scale", SWSCALE),
        graph.add("format", "pix_fmts=yuv420p"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    planes = []
    for index, picture in enumerate(frames.numpy()):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = index
        graph.push(frame)
        planes.append(graph.pull().to_ndarray())
    return np.stack(planes)


def psnr(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((ours.astype(float) - theirs) ** 2)))


@pytest.mark.parametrize("size", [(480, 832), (80, 128), (832, 480), (34, 50)], ids=str)
@pytest.mark.parametrize("content", [random_pictures, landscape])
def test_planes_are_what_swscale_makes_of_the_same_frames(content: object, size: tuple[int, int]) -> None:
    frames = content(*size)  # type: ignore[operator]
    height = size[0]

    ours, theirs = to_yuv420(frames).numpy(), by_swscale(frames)

    assert ours.shape == theirs.shape
    # Luma and chroma by themselves: two thirds of the samples are luma and would hide wrong chroma.
    assert psnr(ours[:, :height], theirs[:, :height]) >= 60
    assert psnr(ours[:, height:], theirs[:, height:]) >= 50


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        # 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B) and so on, by hand.
        pytest.param((0, 0, 0), (16, 128, 128), id="black"),
        pytest.param((255, 255, 255), (235, 128, 128), id="white"),
        pytest.param((255, 0, 0), (63, 102, 240), id="red"),
        pytest.param((0, 255, 0), (173, 42, 26), id="green"),
        pytest.param((0, 0, 255), (32, 240, 118), id="blue"),
    ],
)
def test_the_standards_own_colours_come_out_exactly(rgb: tuple[int, ...], yuv: tuple[int, ...]) -> None:
    frames = torch.tensor(rgb, dtype=torch.uint8).expand(1, 16, 16, 3)

    planes = to_yuv420(frames).flatten()

    assert (set(planes[:256].tolist()), set(planes[256:320].tolist()), set(planes[320:].tolist())) == (
        {yuv[0]},
        {yuv[1]},
        {yuv[2]},
    )


def test_every_grey_is_without_colour() -> None:
    frames = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)

    planes = to_yuv420(frames)

    assert planes[:, 16:].unique().tolist() == [128]
    exact = 16 + torch.arange(256, dtype=torch.float64) * 219 / 255
    assert torch.equal(planes[0, :16].flatten(), torch.floor(exact + 0.5).to(torch.uint8))


def test_chroma_lies_on_the_left_column_of_its_pair() -> None:
    frames = torch.full((1, 16, 16, 3), 128, dtype=torch.uint8)
    frames[:, :, 8] = torch.tensor([255, 0, 0], dtype=torch.uint8)  # the left column of pair 4

    red = to_yuv420(frames)[0, 20:].flatten().view(8, 8)[0].int() - 128

    assert red[4] > 50
    assert red[[0, 1, 2, 3, 5, 6, 7]].tolist() == [0] * 7


def test_frames_do_not_touch_each_other() -> None:
    frames = random_pictures(32, 48)

    assert torch.equal(to_yuv420(frames), torch.cat([to_yuv420(one[None]) for one in frames]))
