"""Kernels run on a GPU where there is one, else in Triton's interpreter, else (no Triton) only their twins run."""

from __future__ import annotations

import pytest
import torch

ON_GPU = torch.cuda.is_available()


@pytest.fixture
def dtype() -> torch.dtype:
    """Return what kernels get on a GPU; the interpreter cuts off bfloat16 where a GPU rounds it."""
    return torch.bfloat16 if ON_GPU else torch.float32


@pytest.fixture
def device() -> str:
    return "cuda" if ON_GPU else "cpu"


@pytest.fixture(scope="session")
def triton() -> None:
    pytest.importorskip("triton", reason="no Triton for this system")


@pytest.fixture
def only_rounding_that_the_interpreter_has(request: pytest.FixtureRequest) -> None:
    if not ON_GPU and request.node.callspec.params.get("target") == "e4m3":
        pytest.skip("Triton's interpreter cuts off e4m3 where a GPU rounds it")


@pytest.fixture
def gpu() -> None:
    if not ON_GPU:
        pytest.skip("needs a CUDA GPU")
