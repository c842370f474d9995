"""What each stage of `python -m training` does: load what it needs, work, save what it made."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from training.artifact import WEIGHTS, ship, write_artifact
from training.autoencoder import Decoder, Encoder
from training.checkpoints import load_autoencoder, load_teacher, save_modules
from training.clock import Clock
from training.corpus import Corpus, Prompts, make_captions, make_corpus, painted_bytes
from training.examination import LATENTS, UPRIGHT_LATENTS, Exam, examine, set_exam, student_sampler, teacher_sampler
from training.rounding import set_format
from training.sheets import save_sheet
from training.stages.autoencoder import train_autoencoder
from training.stages.matching import match_distribution
from training.stages.student import RATE, TUNING_RATE, Paths, record_paths, train_student
from training.stages.teacher import Teacher, compile_blocks, train_teacher
from training.trackers import ATTRIBUTES, wrong_things
from training.world import draw_scenes


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; its help has the meanings."""

    stages: list[str]
    folder: Path
    clips: int
    batch: int
    rate: float
    seed: int
    go_on: bool
    format: str
    start: str
    path_steps: int
    teacher_steps: int
    guidance: float
    captions: int
    unseen_only: bool
    exact: bool
    out: Path | None
    device: str


def _clock(limit: str) -> Clock:
    """Read `160s` as seconds and `4000` as steps.

    Raises:
        SystemExit: It is neither.
    """
    number = limit.removesuffix("s")
    if not number.isdecimal() or int(number) == 0:
        raise SystemExit(f"the limit of a stage is {limit!r}, wanted seconds as in 160s or steps as in 4000")
    return Clock(seconds=float(number)) if limit.endswith("s") else Clock(steps=int(number))


def autoencoder(options: Options, limit: str) -> None:
    """Train the autoencoder."""
    _train_autoencoder(options, limit, None)


def decoder(options: Options, limit: str) -> None:
    """Train the decoder on, while the encoder stays as it is."""
    _train_autoencoder(options, limit, load_autoencoder(options.folder, options.device))
    _autoencoder.cache_clear()


def _train_autoencoder(options: Options, limit: str, start: tuple[Encoder, Decoder] | None) -> None:
    encoder, made, quality = train_autoencoder(
        _clock(limit), device=options.device, clips=max(options.clips // 4, 1), batch=options.batch,
        seed=options.seed + (50 if start else 0), start=start,
    )  # fmt: skip
    save_modules(options.folder, "autoencoder", {"encoder": encoder, "decoder": made})
    print(f"autoencoder: {quality[0]:.2f} dB on unseen clips, {quality[1]:.2f} dB on their things", flush=True)
    with torch.no_grad():
        frames = (
            painted_bytes(draw_scenes(min(6, options.clips // 2), options.seed + 1001), options.device)[0].float() / 255
        )
        pairs = torch.stack([frames, made(encoder(frames))], dim=1).flatten(0, 1)
    save_sheet(options.folder / "autoencoder.png", pairs, ["painted", "decoded"] * len(frames))


@functools.cache
def _autoencoder(folder: Path, device: str) -> tuple[Encoder, Decoder]:
    return load_autoencoder(folder, device)


@functools.cache
def _corpora(folder: Path, clips: int, seed: int, device: str) -> tuple[Corpus, Corpus]:
    """Paint and encode the wide and the upright clips, or read those that another process left."""
    kept = folder / f"corpora-{clips}-{seed}.pt"
    if kept.exists():
        parts = torch.load(kept, map_location=device)
        return Corpus(*parts[:3]), Corpus(*parts[3:])
    started = time.monotonic()
    encoder, _ = _autoencoder(folder, device)
    wide = make_corpus(encoder, clips, seed + 100, device)
    upright = make_corpus(encoder, max(clips // 8, min(clips, 8)), seed + 200, device, upright=True)
    numbers = f"{len(wide.latents)} and {len(upright.latents)} clips"
    print(f"corpora: {numbers} in {time.monotonic() - started:.0f} s", flush=True)
    torch.save([part for corpus in (wide, upright) for part in (corpus.latents, corpus.things, corpus.ids)], kept)
    return wide, upright


def _both(options: Options) -> tuple[Corpus, Corpus]:
    return _corpora(options.folder, options.clips, options.seed, options.device)


def teacher(options: Options, limit: str) -> None:
    """Train the teacher."""
    wide, upright = _both(options)
    trained = train_teacher(
        _clock(limit), wide, upright, device=options.device, batch=options.batch, rate=options.rate,
        seed=options.seed + (50 if options.go_on else 0),
        start=load_teacher(options.folder, "teacher", options.device) if options.go_on else None,
    )  # fmt: skip
    _save(options, "teacher", trained)


@functools.cache
def _made_prompts(clips: int, seed: int, device: str) -> tuple[Prompts, Prompts]:
    few = max(clips // 8, min(clips, 8))
    return (
        Prompts(make_captions(clips, seed + 100, device), LATENTS),
        Prompts(make_captions(few, seed + 200, device, upright=True), UPRIGHT_LATENTS),
    )


def _prompts(options: Options) -> tuple[Prompts, Prompts]:
    return _made_prompts(options.clips, options.seed, options.device)


def _save(options: Options, name: str, model: Teacher) -> None:
    save_modules(options.folder, name, {"transformer": model.transformer, "text": model.text})


def _load(options: Options, name: str) -> Teacher:
    model = load_teacher(options.folder, name, options.device)
    if options.device == "cuda":
        compile_blocks(model.transformer)
    return model


def paths(options: Options, limit: str) -> None:
    """Follow the teacher."""
    clock = _clock(limit)
    made = record_paths(
        clock, _load(options, "teacher"), _both(options), device=options.device, batch=options.batch,
        seed=options.seed, steps=options.path_steps, guidance=options.guidance,
    )  # fmt: skip
    print(f"paths: {len(made[0].step)} and {len(made[1].step)}", flush=True)
    torch.save([[p.start, p.end, p.step, p.text] for p in made], options.folder / "paths.pt")


def student(options: Options, limit: str) -> None:
    """Train a student on the paths: from the teacher, or a tuned one from another student."""
    kept = torch.load(options.folder / "paths.pt", map_location=options.device)
    made = train_student(
        _clock(limit), _load(options, options.start or "teacher"), (Paths(*kept[0]), Paths(*kept[1])),
        form=options.format, device=options.device, batch=options.batch, seed=options.seed,
        rate=TUNING_RATE if options.start else RATE,
    )  # fmt: skip
    _save(options, f"{'tuned' if options.start else 'student'}-{options.format}-{options.seed}", made)


def matching(options: Options, limit: str) -> None:
    """Train a student further, by distribution matching."""
    name = options.start or f"student-{options.format}-{options.seed}"
    made = match_distribution(
        _clock(limit), _load(options, "teacher"), load_teacher(options.folder, name, options.device), _prompts(options),
        form=options.format, batch=options.batch, seed=options.seed, guidance=options.guidance,
    )  # fmt: skip
    _save(options, f"matched-{options.format}-{options.seed}", made)


@functools.cache
def _exam(folder: Path, captions: int, device: str, held_out: bool) -> Exam:  # noqa: FBT001 - a key of the cache
    return set_exam(_autoencoder(folder, device)[0], captions, 1, device, held_out=held_out)


def exam(options: Options, name: str) -> None:
    """Have the trackers read clips of a checkpoint; `name@format` rounds it to a format after training."""
    encoder, made = _autoencoder(options.folder, options.device)
    checkpoint, _, form = name.partition("@")
    form = form or checkpoint.partition("-")[2].rpartition("-")[0] or "float"
    model = _load(options, checkpoint)
    set_format(model.transformer, form)
    sampler = student_sampler(model)
    if checkpoint == "teacher":
        sampler = teacher_sampler(model, options.teacher_steps, options.guidance, options.device)
    for held_out in (False,) if options.unseen_only else (False, True):
        asked = _exam(options.folder, options.captions, options.device, held_out)
        kind = "held out" if held_out else "unseen"
        found = examine(model, (encoder, made), asked, sampler, batch=options.batch, seed=options.seed)
        shares = " | ".join(f"{found.right[key]:.3f}" for key in ATTRIBUTES)
        print(f"| {name} | {options.captions} {kind} | {shares} | {found.distance:.3f} |", flush=True)
        line = {"name": name, "seed": options.seed, "kind": kind, "captions": options.captions, **found.right}
        line |= {"distance": found.distance, "wrong": wrong_things(found.seen, found.scenes)}
        with (options.folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        shown = [asked.captions[row] for row in found.order]
        save_sheet(options.folder / f"{name}-{kind.replace(' ', '-')}.jpg", found.frames, shown)


def artifact(options: Options, name: str) -> None:
    """Write the shipped file from a student and the autoencoder's decoder."""
    made = load_teacher(options.folder, name, "cpu")
    _, of_frames = load_autoencoder(options.folder, "cpu")
    sha256 = write_artifact(options.out, made, of_frames) if options.out else ship(made, of_frames)
    path = options.out or WEIGHTS
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256}", flush=True)


def evaluate(options: Options, argument: str) -> None:
    """Print how often the product, with the package's weights, shows what captions say."""
    del argument
    from training.evaluation import evaluate as evaluated  # noqa: PLC0415 - needs the product

    for line in evaluated(options.captions, options.seed, unseen_only=options.unseen_only):
        print(line, flush=True)


Command = Callable[[Options, str], None]
COMMANDS: Mapping[str, Command] = {
    "autoencoder": autoencoder,
    "decoder": decoder,
    "teacher": teacher,
    "paths": paths,
    "student": student,
    "matching": matching,
    "exam": exam,
    "artifact": artifact,
}
"""In the order of a whole run."""
PRODUCT_COMMANDS: Mapping[str, Command] = {"evaluate": evaluate}
"""Those that need the product installed."""
