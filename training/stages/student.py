"""Stage 3: the student learns the teacher's guided flow in three steps.

Regression on the teacher's paths: each step learns where the flow ends that starts there.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.clock import Average, Clock
from training.corpus import Corpus
from training.network import token_ids
from training.optimizer import Optimizer
from training.replay import Gradients, Recording
from training.rounding import set_format
from training.sampling import SIGMAS, clean_at, flow, guided, mixed, path
from training.stages.teacher import OTHER_LENGTHS, SHORT, Teacher, compile_blocks, embed_mixed, velocity_mixed

GUIDANCE = 3.5
TEACHER_STEPS = 16
"""Euler steps, unless told otherwise, from each of the student's steps to the end."""
RATE = 1e-3
TUNING_RATE = 5e-4
UPRIGHT_EVERY = 8
SHORT_EVERY = 20


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Starts and ends of the teacher's flow.

    Attributes:
        start: (n, 16, t, h, w) bfloat16, at the sigma of the step.
        end: (n, 16, t, h, w) bfloat16, clean.
        step: (n,) of 0, 1, 2.
        text: (n, s, text_dim).
    """

    start: Tensor
    end: Tensor
    step: Tensor
    text: Tensor


def record_paths(
    clock: Clock,
    teacher: Teacher,
    corpora: tuple[Corpus, Corpus],
    *,
    device: str,
    batch: int,
    seed: int,
    steps: int = TEACHER_STEPS,
    guidance: float = GUIDANCE,
) -> tuple[Paths, Paths]:
    """Follow the teacher from noisy clips of the corpora; return wide paths and upright ones, one batch in eight."""
    generator = torch.Generator(device).manual_seed(seed)
    follow = recorded_flow(teacher, guidance, device)
    kept: tuple[list[Paths], list[Paths]] = ([], [])
    while clock.share() < 1 or not all(kept):
        place = int(clock.done % UPRIGHT_EVERY == UPRIGHT_EVERY - 1)
        step = clock.done // UPRIGHT_EVERY % 3 if place else clock.done % 3
        clean, _, ids = corpora[place].batch(batch, generator)
        with torch.no_grad():
            text = embed_mixed(teacher.text, ids, device)
            sigma = torch.full((batch,), SIGMAS[step], device=device)
            start = mixed(clean, torch.randn(clean.shape, generator=generator, device=device), sigma)
            end = flow(lambda x, s, text=text: follow(x, s, text), start, path(steps, SIGMAS[step]))
        narrow = (start.to(torch.bfloat16), end.to(torch.bfloat16))
        kept[place].append(Paths(*narrow, torch.full((batch,), step, device=device), text))
        clock.step()
        if clock.seconds and device == "cuda":
            torch.cuda.synchronize()
            clock.look()
    return _joined(kept[0]), _joined(kept[1])


def recorded_flow(teacher: Teacher, guidance: float, device: str) -> Recording:
    """Return the teacher's guided velocity of (latents, sigma, text), recorded."""
    with torch.no_grad():
        empty = embed_mixed(teacher.text, token_ids([""]).to(device), device)

    def velocity(x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
        return guided(
            lambda y, s, given: velocity_mixed(teacher.transformer, y, s, given), x, sigma, text, empty, guidance
        )

    return Recording(torch.no_grad()(velocity))


def _joined(parts: list[Paths]) -> Paths:
    return Paths(
        torch.cat([part.start for part in parts]),
        torch.cat([part.end for part in parts]),
        torch.cat([part.step for part in parts]),
        torch.cat([part.text for part in parts]),
    )


def train_student(
    clock: Clock,
    start: Teacher,
    paths: tuple[Paths, Paths],
    *,
    form: str,
    device: str,
    batch: int,
    seed: int,
    rate: float = RATE,
) -> Teacher:
    """Train a student in a format of `rounding.FORMATS`; return its averaged weights in floats.

    Args:
        clock: Limit.
        start: A teacher, or a student that goes on.
        paths: Those of wide clips and of upright ones.
        form: What it computes in.
        device: `cuda` or `cpu`.
        batch: Clips a step.
        seed: Decides the order.
        rate: Highest learning rate.
    """
    transformer = copy.deepcopy(start.transformer).requires_grad_(requires_grad=True)
    set_format(transformer, form)
    average = Average({"transformer": transformer}, 0.995)
    if device == "cuda":
        compile_blocks(transformer)
    optimizer = Optimizer((transformer,), rate, device)
    generator = torch.Generator(device).manual_seed(seed)

    def loss_of(first: Tensor, last: Tensor, step: Tensor, text: Tensor) -> Tensor:
        return F.mse_loss(
            clean_at(lambda x, s, given: velocity_mixed(transformer, x, s, given), first, step, text), last
        )

    gradients = Gradients(loss_of, optimizer)
    while clock.share() < 1:
        some = paths[int(clock.done % UPRIGHT_EVERY == UPRIGHT_EVERY - 1)]
        rows = torch.randint(len(some.step), (batch,), generator=generator, device=device)
        first, last = some.start[rows].float(), some.end[rows].float()
        lengths = (*OTHER_LENGTHS, SHORT)
        short = lengths[clock.done // SHORT_EVERY % len(lengths)] if clock.done % SHORT_EVERY == SHORT_EVERY - 1 else 0
        if short:  # the beginning of a long clip
            first, last = first[:, :, :short].contiguous(), last[:, :, :short].contiguous()
            with torch.compiler.set_stance("force_eager"):
                loss = loss_of(first, last, some.step[rows], some.text[rows])
                optimizer.step(loss, clock.rate())
        else:
            loss = gradients(first, last, some.step[rows], some.text[rows])
            optimizer.follow(clock.rate())
        average.follow(clock.done)
        if clock.step() % 250 == 0:
            print(f"student {form}: {clock.elapsed():.0f} s, step {clock.done}, loss {loss.item():.4f}", flush=True)
    student = average.modules["transformer"]
    set_format(student, "float")
    return Teacher(student, start.text)
