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
from training.replay import Gradients, Recording
from training.rounding import set_format
from training.sampling import SIGMAS, Velocity, clean_at, guided, mixed, spread
from training.stages.student import GUIDANCE
from training.stages.teacher import Teacher, compile_blocks, draw_noise, embed_mixed, velocity_mixed

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
    batch: int,
    seed: int,
    guidance: float = GUIDANCE,
) -> Teacher:
    """Train a student of `train_student` further; return its averaged weights in floats.

    Args:
        clock: Limit; its steps are the critic's.
        teacher: What is matched.
        student: What learns.
        prompts: Those of wide clips and of upright ones.
        form: A format of `rounding.FORMATS`.
        batch: Clips a step.
        seed: Decides captions and noise.
        guidance: The teacher's.
    """
    device = prompts[0].ids.device.type
    learner = copy.deepcopy(student.transformer).requires_grad_(requires_grad=True)
    critic = copy.deepcopy(teacher.transformer).requires_grad_(requires_grad=True)
    set_format(learner, form)
    average = Average({"transformer": learner}, 0.98)
    if device == "cuda":
        compile_blocks(learner)
        compile_blocks(critic)
    game = _Game(teacher, learner, critic, device, guidance)
    generator = torch.Generator(device).manual_seed(seed)
    host = torch.Generator().manual_seed(seed)
    while clock.share() < 1:
        place = int(clock.done // CRITIC_STEPS % UPRIGHT_EVERY == UPRIGHT_EVERY - 1)
        loss = game.criticize(*game.clips(prompts[place], batch, host, generator)[1:], generator)
        game.of_critic.follow(min(1.0, (clock.done + 1) / 20))
        if clock.done % CRITIC_STEPS == 0:
            pull = game.teach(*game.clips(prompts[place], batch, host, generator), generator)
            game.of_learner.follow(clock.rate())
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


class _Game:
    """The learner against the critic, each computation recorded."""

    def __init__(self, teacher: Teacher, learner: Any, critic: Any, device: str, guidance: float) -> None:
        """Take the models."""
        self.of_learner = Optimizer((learner,), STUDENT_RATE, device, betas=(0.0, 0.99), muon=False)
        self.of_critic = Optimizer((critic,), CRITIC_RATE, device, betas=(0.0, 0.99), muon=False)
        self._text = teacher.text
        self._device = device
        with torch.no_grad():
            empty = embed_mixed(teacher.text, token_ids([""]).to(device), device)

        def seen_by(model: Any) -> Velocity:
            return lambda x, sigma, text: velocity_mixed(model, x, sigma, text)

        def pull(clean: Tensor, noise: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
            x = mixed(clean, noise, sigma)
            fake = x - spread(sigma) * seen_by(critic)(x, sigma, text)
            real = x - spread(sigma) * guided(seen_by(teacher.transformer), x, sigma, text, empty, guidance)
            return (fake - real) / (clean - real).abs().mean((1, 2, 3, 4), keepdim=True).clamp(min=1e-4)

        def critic_loss(clean: Tensor, noise: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
            return F.mse_loss(seen_by(critic)(mixed(clean, noise, sigma), sigma, text), noise - clean)

        def learner_loss(x: Tensor, step: Tensor, text: Tensor, pull: Tensor) -> Tensor:
            clean = clean_at(seen_by(learner), x, step, text)
            return 0.5 * F.mse_loss(clean, (clean - pull).detach())  # its gradient is the pull

        self._predict = Recording(torch.no_grad()(lambda x, step, text: clean_at(seen_by(learner), x, step, text)))
        self._pull = Recording(torch.no_grad()(pull))
        self._critic_loss = Gradients(critic_loss, self.of_critic)
        self._learner_loss = Gradients(learner_loss, self.of_learner)

    def clips(
        self, prompts: Prompts, batch: int, host: torch.Generator, generator: torch.Generator
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Sample the learner from noise up to one of its steps.

        Returns:
            What the step starts from, its number (b,), the clean latents that it predicts, and the text.
        """
        x, ids = prompts.batch(batch, generator)
        with torch.no_grad():
            text = embed_mixed(self._text, ids, self._device)
        last = int(torch.randint(3, (), generator=host))
        for number in range(last + 1):
            step = torch.full((batch,), number, device=x.device)
            clean = self._predict(x, step, text).clone()
            if number < last:
                sigma = torch.full((batch,), SIGMAS[number + 1], device=x.device)
                x = mixed(clean, torch.randn(x.shape, generator=generator, device=x.device), sigma)
        return (x, step), clean, text

    def criticize(self, clean: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
        """Leave gradients at the critic, which learns the flow to the learner's clips; return its loss."""
        return self._critic_loss(clean, *self._noise(clean, generator), text)

    def teach(self, start: tuple[Tensor, Tensor], clean: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
        """Leave gradients at the learner; return where it is pulled.

        To where the teacher sees the clips, away from where the critic does, by the teacher's distance to them.
        """
        pull = self._pull(clean, *self._noise(clean, generator), text)
        self._learner_loss(*start, text, pull)
        return pull

    def _noise(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noise, sigma = draw_noise(clean, generator)
        return noise, sigma.clamp(LEAST_SIGMA, MOST_SIGMA)
