"""Stage 5: a three-step student learns to be itself in a narrow format: quantization-aware distillation.

The rounded student follows the student in floats: from the same noise, at each of the three steps, it predicts what
that one does. What is compared with it is the same student rounded afterwards, which learns nothing.
"""

from __future__ import annotations

import copy

import torch
from torch.nn import functional as F

from training.clock import Average, Clock
from training.corpus import Prompts
from training.optimizer import Optimizer
from training.rounding import set_format
from training.sampling import SIGMAS, clean_at, mixed
from training.stages.teacher import Teacher, compile_blocks, embed_mixed, velocity_mixed

RATE = 3e-4
UPRIGHT_EVERY = 8


def absorb(
    clock: Clock, student: Teacher, prompts: tuple[Prompts, Prompts], *, form: str, device: str, batch: int, seed: int
) -> Teacher:
    """Train a rounded copy of a student to do what the student does; return its averaged weights in floats.

    Args:
        clock: Limit.
        student: In floats; its transformer is compiled already.
        prompts: Of wide clips and of upright ones.
        form: A format of `rounding.FORMATS`.
        device: `cuda` or `cpu`.
        batch: Clips a step.
        seed: Decides captions and noise.
    """
    learner = copy.deepcopy(student.transformer).requires_grad_(requires_grad=True)
    set_format(learner, form)
    average = Average({"transformer": learner}, 0.99)
    if device == "cuda":
        compile_blocks(learner)
    optimizer = Optimizer((learner,), RATE, device)
    generator = torch.Generator(device).manual_seed(seed)
    while clock.share() < 1:
        place = int(clock.done // 3 % UPRIGHT_EVERY == UPRIGHT_EVERY - 1)
        number = clock.done % 3
        if number == 0:
            x, ids = prompts[place].batch(batch, generator)
            with torch.no_grad():
                text = embed_mixed(student.text, ids, device)
        step = torch.full((batch,), number, device=device)
        with torch.no_grad():
            wanted = clean_at(lambda y, s, given: velocity_mixed(student.transformer, y, s, given), x, step, text)
        seen = clean_at(lambda y, s, given: velocity_mixed(learner, y, s, given), x, step, text)
        loss = F.mse_loss(seen, wanted)
        optimizer.step(loss, clock.rate())
        average.follow(clock.done)
        if number < 2:
            sigma = torch.full((batch,), SIGMAS[number + 1], device=device)
            x = mixed(wanted, torch.randn(x.shape, generator=generator, device=device), sigma)
        if clock.step() % 250 == 0:
            print(f"absorbing {form}: {clock.elapsed():.0f} s, step {clock.done}, loss {loss.item():.5f}", flush=True)
    made = average.modules["transformer"]
    set_format(made, "float")
    return Teacher(made, student.text)
