from __future__ import annotations

import pytest
import torch

from reelmill_worker.kernels.int8_gemm import TILES, int8_linear_reference, launch
from reelmill_worker.kernels.quantize import quantize_rows_reference

SMALL_TILES = {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32, "GROUP_M": 2, "num_warps": 4, "num_stages": 2}


def quantized(m: int, n: int, k: int) -> tuple[torch.Tensor, ...]:
    x, weight = torch.randn(m, k), torch.randn(n, k)
    return (x, weight, *quantize_rows_reference(x, "int8"), *quantize_rows_reference(weight, "int8"), torch.randn(n))


def test_it_is_the_linear_of_what_the_codes_stand_for() -> None:
    x, weight, codes, scale, w_codes, w_scale, bias = quantized(9, 11, 40)

    got = int8_linear_reference(codes, scale, w_codes, w_scale, bias)

    want = torch.nn.functional.linear(codes.float() * scale, w_codes.float() * w_scale, bias)
    torch.testing.assert_close(got, want)
    exact = torch.nn.functional.linear(x, weight, bias)
    assert torch.nn.functional.cosine_similarity(got.flatten(), exact.flatten(), dim=0) > 0.999


@pytest.mark.parametrize(("m", "n", "k"), [(64, 64, 64), (70, 33, 64), (1, 5, 48), (40, 96, 40)])
def test_the_kernel_computes_what_its_twin_does(gpu: None, device: str, m: int, n: int, k: int) -> None:
    _, _, codes, scale, w_codes, w_scale, bias = (x.to(device) for x in quantized(m, n, k))

    got = launch(codes, scale, w_codes, w_scale, bias, SMALL_TILES)

    # The sums are whole numbers and exact; only the float32 epilogue may differ, in its last bit.
    torch.testing.assert_close(got, int8_linear_reference(codes, scale, w_codes, w_scale, bias), rtol=1e-6, atol=1e-5)


def test_the_tiles_fit_the_shared_memory_of_every_card_since_ampere() -> None:
    stage_bytes = (TILES["BLOCK_M"] + TILES["BLOCK_N"]) * TILES["BLOCK_K"]

    assert stage_bytes * TILES["num_stages"] <= 99 * 1024  # sm86 and sm89, the least of them


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({0: torch.zeros(4, 8)}, "wanted int8", id="floats"),
        pytest.param({0: torch.zeros(8, 4, dtype=torch.int8).t()}, "wanted contiguous", id="not contiguous"),
        pytest.param({1: torch.zeros(3, 1)}, "wanted 4, 6 and 6 scales", id="scales of another length"),
    ],
)
def test_what_the_kernel_cannot_take_is_refused(change: dict[int, torch.Tensor], message: str) -> None:
    arguments = list(quantized(4, 6, 8)[2:])
    for place, tensor in change.items():
        arguments[place] = tensor

    with pytest.raises(ValueError, match=message):
        launch(*arguments, TILES)
