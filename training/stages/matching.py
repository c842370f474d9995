"""Stage 4: distribution matching. The student's clips, noised, are pulled to where the teacher sees clean ones.

And away from where a critic sees them, which learns the student's own distribution.

The recipe of FastWan: the student's step is drawn at random and starts from its own steps before; the critic takes
CRITIC_STEPS steps for each of the student's; guidance is on the teacher's side only; the gradient is normalized.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.clock import Average, Clock
from training.corpus import Prompts
from training.network import token_ids
from training.optimizer import Optimizer
from training.rounding import set_format
from training.sampling import SIGMAS, clean_at, guided, mixed, spread
from training.stages.student import GUIDANCE
from training.stages.teacher import Teacher, compile_blocks, draw_sigma, embed_mixed, velocity_mixed

CRITIC_STEPS = 5
STUDENT_RATE = 1e-4
CRITIC_RATE = 2e-4
LEAST_SIGMA, MOST_SIGMA = 0.02, 0.98
UPRIGHT_EVERY = 8


def match_distribution(
    clock: Clock,
    teacher: Teacher,
    student: Teacher,
    prompts: tuple[Prompts, Prompts],
    *,
    form: str,
    device: str,
    batch: int,
    seed: int,
) -> Teacher:
    """Train a student of `train_student` further; return its averaged weights in floats.

    Args:
        clock: Limit; its steps are the critic's.
        teacher: What is matched.
        student: What learns.
        prompts: Those of wide clips and of upright ones.
        form: A format of `rounding.FORMATS`.
        device: `cuda` or `cpu`.
        batch: Clips a step.
        seed: Decides captions and noise.
    """
    learner = copy.deepcopy(student.transformer).requires_grad_(requires_grad=True)
    critic = copy.deepcopy(teacher.transformer).requires_grad_(requires_grad=True)
    set_format(learner, form)
    average = Average({"transformer": learner}, 0.98)
    if device == "cuda":
        compile_blocks(learner)
        compile_blocks(critic)
    of_learner = Optimizer((learner,), STUDENT_RATE, device, betas=(0.0, 0.99), muon=False)
    of_critic = Optimizer((critic,), CRITIC_RATE, device, betas=(0.0, 0.99), muon=False)
    generator = torch.Generator(device).manual_seed(seed)
    empty = embed_mixed(teacher.text, token_ids([""]).to(device), device).detach()

    def clips(place: int, *, learns: bool) -> tuple[Tensor, Tensor]:
        x, ids = prompts[place].batch(batch, generator)
        with torch.no_grad():
            text = embed_mixed(teacher.text, ids, device)
        last = int(torch.randint(3, (), generator=host))
        return _rolled_out(learner, x, text, last, generator, learns=learns), text

    host = torch.Generator().manual_seed(seed)
    while clock.share() < 1:
        place = int(clock.done // CRITIC_STEPS % UPRIGHT_EVERY == UPRIGHT_EVERY - 1)
        clean, text = clips(place, learns=False)
        sigma = draw_sigma(batch, generator, device).clamp(LEAST_SIGMA, MOST_SIGMA)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        loss = F.mse_loss(velocity_mixed(critic, mixed(clean, noise, sigma), sigma, text), noise - clean)
        of_critic.step(loss, min(1.0, (clock.done + 1) / 20))
        if clock.done % CRITIC_STEPS == 0:
            clean, text = clips(place, learns=True)
            pull = _pull(teacher, critic, clean.detach(), text, empty, generator)
            # The gradient of this loss is the pull.
            of_learner.step(0.5 * F.mse_loss(clean, (clean - pull).detach()), clock.rate())
            average.follow(clock.done // CRITIC_STEPS)
        if clock.step() % 250 == 0:
            print(
                f"matching {form}: {clock.elapsed():.0f} s, step {clock.done}, critic's loss {loss.item():.4f}, "
                f"pull {pull.abs().mean().item():.4f}",
                flush=True,
            )
    made = average.modules["transformer"]
    set_format(made, "float")
    return Teacher(made, teacher.text)


def _rolled_out(
    learner: Any, x: Tensor, text: Tensor, last: int, generator: torch.Generator, *, learns: bool
) -> Tensor:
    """Sample the learner from noise up to one of its steps, from which alone it learns: clean latents."""
    for number in range(last + 1):
        step = torch.full((len(x),), number, device=x.device)
        with torch.set_grad_enabled(learns and number == last):
            clean = clean_at(lambda y, s, given: velocity_mixed(learner, y, s, given), x, step, text)
        if number < last:
            sigma = torch.full((len(x),), SIGMAS[number + 1], device=x.device)
            x = mixed(clean, torch.randn(x.shape, generator=generator, device=x.device), sigma)
    return clean


@torch.no_grad()
def _pull(
    teacher: Teacher, critic: Any, clean: Tensor, text: Tensor, empty: Tensor, generator: torch.Generator
) -> Tensor:
    """Return where the critic sees the clips minus where the teacher does, by the teacher's distance to them."""
    sigma = draw_sigma(len(clean), generator, clean.device.type).clamp(LEAST_SIGMA, MOST_SIGMA)
    x = mixed(clean, torch.randn(clean.shape, generator=generator, device=clean.device), sigma)
    fake = x - spread(sigma) * velocity_mixed(critic, x, sigma, text)
    real = x - spread(sigma) * guided(
        lambda y, s, given: velocity_mixed(teacher.transformer, y, s, given), x, sigma, text, empty, GUIDANCE
    )
    return (fake - real) / (clean - real).abs().mean((1, 2, 3, 4), keepdim=True).clamp(min=1e-4)
