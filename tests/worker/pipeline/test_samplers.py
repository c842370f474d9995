"""Golden values: FastVideo 2f3d4074's schedulers and DMD loop, computed on a CPU with the toy velocity below."""

from collections.abc import Callable, Iterator

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

from reelmill_worker.pipeline.samplers import DMD_SIGMAS, DMD_TIMESTEPS, UNIPC_TIMESTEPS, dmd3, unipc3, unipc_sigmas

START = torch.tensor([0.5, -1.25, 2.0], dtype=torch.float64)
FRESH = ([0.1, -0.3, 0.7], [-0.9, 0.4, 0.2])


def toy_velocity(x: Tensor, timestep: float) -> Tensor:
    return 0.7 * x + torch.sin(3 * x) * timestep / 1000 - 0.2


class Watched:
    """The toy velocity, remembering what it was asked."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.timesteps: list[float] = []

    def __call__(self, x: Tensor, timestep: float) -> Tensor:
        self.inputs.append(x.clone())
        self.timesteps.append(timestep)
        return toy_velocity(x, timestep)


@pytest.fixture
def velocity() -> Watched:
    return Watched()


@pytest.fixture
def fresh() -> Iterator[Tensor]:
    return iter(torch.tensor(values, dtype=torch.float64) for values in FRESH)


def test_dmd_takes_its_sigmas_from_the_table_and_not_from_the_timesteps() -> None:
    assert DMD_TIMESTEPS == (1000, 757, 522)
    assert pytest.approx((1.0, 0.7567567229, 0.5217391253), abs=1e-10) == DMD_SIGMAS


def test_unipc_shifts_its_grid_twice() -> None:
    assert unipc_sigmas() == pytest.approx((0.99988877, 0.85702028, 0.59987989, 0.0), abs=3e-8)
    assert tuple(int(1000 * sigma) for sigma in unipc_sigmas()[:3]) == UNIPC_TIMESTEPS


def test_dmd_gives_the_golden_values_after_each_step(velocity: Watched, fresh: Iterator[Tensor]) -> None:
    latents = dmd3(velocity, START, lambda: next(fresh))

    assert velocity.timesteps == [1000, 757, 522]
    assert velocity.inputs[1].tolist() == pytest.approx([-0.081823, -0.408623, 0.792290], abs=1e-6)
    assert velocity.inputs[2].tolist() == pytest.approx([-0.349003, 0.447018, 0.165243], abs=1e-6)
    assert latents.tolist() == pytest.approx([0.118641, 0.122915, 0.079693], abs=1e-6)


def test_unipc_gives_the_golden_values_after_each_step(velocity: Watched) -> None:
    latents = unipc3(velocity, START)

    assert velocity.timesteps == [999, 857, 599]
    assert velocity.inputs[1].tolist() == pytest.approx([0.336202, -1.177993, 1.868438], abs=1e-6)
    assert velocity.inputs[2].tolist() == pytest.approx([0.166613, -0.985831, 1.745307], abs=1e-6)
    assert latents.tolist() == pytest.approx([0.044405, -0.386109, 1.443600], abs=1e-6)


def test_unipc_equals_diffusers_own_scheduler_on_the_same_grid() -> None:
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, solver_order=2)
    scheduler.set_timesteps(3)
    scheduler.sigmas = torch.tensor(unipc_sigmas())
    scheduler.timesteps = torch.tensor(UNIPC_TIMESTEPS)
    start = START.float().reshape(1, 3, 1)
    x = start
    for timestep in scheduler.timesteps:
        x = scheduler.step(toy_velocity(x, float(timestep)), timestep, x, return_dict=False)[0]

    latents = unipc3(toy_velocity, start)

    assert torch.allclose(latents, x, atol=1e-5)


def test_with_a_bfloat16_model_dmd_mixes_in_float32_and_keeps_bfloat16(fresh: Iterator[Tensor]) -> None:
    seen: list[Tensor] = []

    def half_velocity(x: Tensor, timestep: float) -> Tensor:
        seen.append(x)
        return toy_velocity(x.bfloat16(), timestep)

    latents = dmd3(half_velocity, START.float(), lambda: next(fresh).bfloat16())

    clean = (START.float().double() - half_velocity(START.float(), 1000.0).double()).bfloat16()
    noise = torch.tensor(FRESH[0]).bfloat16()
    expected = (torch.tensor(1 - DMD_SIGMAS[1]) * clean.float() + DMD_SIGMAS[1] * noise.float()).bfloat16()
    assert [x.dtype for x in seen[:3]] == [torch.float32, torch.bfloat16, torch.bfloat16]
    assert torch.equal(seen[1], expected)
    assert latents.dtype == torch.bfloat16


def test_unipc_keeps_float32_latents_with_a_bfloat16_model() -> None:
    latents = unipc3(lambda x, t: toy_velocity(x.bfloat16(), t), START.float())

    assert latents.dtype == torch.float32


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(lambda velocity, on_step: dmd3(velocity, START, lambda: START, on_step=on_step), id="dmd3"),
        pytest.param(lambda velocity, on_step: unipc3(velocity, START, on_step=on_step), id="unipc3"),
    ],
)
def test_what_is_raised_before_a_step_ends_the_sampling_before_that_step(
    sample: Callable[[Watched, Callable[[int], None]], Tensor], velocity: Watched
) -> None:
    def stop(step: int) -> None:
        if step == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sample(velocity, stop)

    assert len(velocity.timesteps) == 1
