from __future__ import annotations

import pytest
import torch

from reelmill_common.errors import WorkerUnfit
from reelmill_worker.pipeline.network import attention as module
from reelmill_worker.pipeline.network.attention import attention, first_fit, probe

SHAPE = (96, 2, 32)


def test_it_is_softmax_of_scaled_products_over_the_values() -> None:
    q, k, v = torch.randn(7, 2, 16), torch.randn(11, 2, 16), torch.randn(11, 2, 16)
    want = torch.einsum("lsn,snd->lnd", (torch.einsum("lnd,snd->lsn", q, k) / 4).softmax(1), v)

    got = attention(q, k, v, "sdpa")

    torch.testing.assert_close(got, want)
    assert got.is_contiguous()


def test_it_takes_values_that_are_a_slice_of_a_fused_projection() -> None:
    qkv = torch.randn(9, 3 * 32)
    q, k, v = (part.unflatten(1, (2, 16)) for part in qkv.chunk(3, dim=1))

    got = attention(q, k, v, "sdpa")

    torch.testing.assert_close(got, attention(q.contiguous(), k.contiguous(), v.contiguous(), "sdpa"))


def test_it_is_one_node_of_a_compiled_graph_whatever_its_kernel() -> None:
    compiled = torch.compile(lambda q, k, v: attention(q, k, v, "sdpa") * 2, fullgraph=True, backend="aot_eager")
    q, k, v = (torch.randn(5, 2, 8) for _ in range(3))

    got = compiled(q, k, v)

    torch.testing.assert_close(got, attention(q, k, v, "sdpa") * 2)


def test_the_declared_shape_and_layout_are_what_comes_out() -> None:
    q, k, v = torch.randn(5, 2, 8), torch.randn(6, 2, 8), torch.randn(6, 2, 8)

    torch.library.opcheck(torch.ops.reelmill.attention.default, (q, k, v, "sdpa"))


def test_a_right_kernel_passes_its_self_test() -> None:
    verdict = probe("sdpa", device="cpu", shape=SHAPE)

    assert verdict.fit
    assert verdict.cosine > 0.9999


def test_a_kernel_that_cannot_load_is_passed_over_with_its_reason() -> None:
    # SageAttention is not installed where there is no GPU.
    kernel, complaints = first_fit(["sage2-fp8", "sdpa"], device="cpu", shape=SHAPE)

    assert kernel == "sdpa"
    assert "sage2-fp8 failed its self-test" in complaints[0]
    assert "sageattention" in complaints[0]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param(lambda q, _k, _v: torch.full_like(q, torch.nan), "not finite", id="NaN, as bad builds give"),
        pytest.param(lambda q, _k, v: v.mean(0).expand_as(q), "cosine", id="plausible but wrong"),
    ],
)
def test_a_kernel_that_computes_wrongly_is_passed_over(
    broken: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.KERNELS, "broken", broken)

    verdict = probe("broken", device="cpu", shape=SHAPE)

    assert not verdict.fit
    assert reason in verdict.error


def test_a_machine_on_which_no_kernel_works_is_unfit() -> None:
    with pytest.raises(WorkerUnfit, match="no attention kernel works here"):
        first_fit(["sage1", "sage2-fp16"], device="cpu", shape=SHAPE)
