"""The commands of training: `python -m training STAGE`. Each has a time limit and leaves a checkpoint behind."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from training.artifact import WEIGHTS, ship, write_artifact
from training.checkpoints import load_autoencoder, load_teacher, save_modules, set_threads
from training.clock import Clock
from training.corpus import Corpus, make_corpus, painted_bytes
from training.examination import examine, set_exam, student_sampler, teacher_sampler
from training.processes import join, rank
from training.rounding import FORMATS, set_format
from training.sheets import save_sheet
from training.stages.autoencoder import NOISE, train_autoencoder
from training.stages.student import GUIDANCE, TEACHER_STEPS, record_paths, train_student
from training.stages.teacher import Teacher, compile_blocks, train_teacher
from training.trackers import ATTRIBUTES
from training.world import draw_scenes


def main() -> None:
    """Run one stage."""
    options = _options()
    set_threads(options.device)
    join(options.device)
    for stage in STAGES if options.smoke else (options.stage,):
        started = time.monotonic()
        STAGES[stage](options)
        print(f"{stage}: {time.monotonic() - started:.0f} s in all", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stage", choices=tuple(STAGES), nargs="?")
    parser.add_argument("--smoke", action="store_true", help="Run all stages, each for a few steps, on the CPU.")
    parser.add_argument("--captions", type=int, default=200, help="Unseen captions to evaluate, and as many held out.")
    parser.add_argument("--out", type=Path, default=None, help="Artifact to write. Default: the package's.")
    parser.add_argument("--folder", type=Path, default=Path("training-run"), help="Folder of the checkpoints.")
    parser.add_argument("--minutes", type=float, default=0.0, help="Limit of time.")
    parser.add_argument("--steps", type=int, default=0, help="Limit of steps.")
    parser.add_argument("--clips", type=int, default=20_000, help="Clips to paint.")
    parser.add_argument("--batch", type=int, default=64, help="Clips a step.")
    parser.add_argument("--rate", type=float, default=1e-3, help="Highest learning rate.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="", help="Name of the checkpoint; default: the stage's.")
    parser.add_argument("--resume", default="", help="Checkpoint to go on from.")
    parser.add_argument(
        "--noise", type=float, default=NOISE, help="Spread of noise on latents that the decoder learns with."
    )
    parser.add_argument("--teacher-steps", type=int, default=0, help="Examine a teacher, with as many steps.")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="Of a teacher.")
    parser.add_argument("--format", default="fp8", choices=tuple(FORMATS), help="What a student computes in.")
    parser.add_argument("--path-minutes", type=float, default=1.0, help="Limit of time for the teacher's paths.")
    parser.add_argument("--path-steps", type=int, default=TEACHER_STEPS, help="The teacher's steps of a path.")
    parser.add_argument("--student-minutes", type=float, default=0.0, help="Train a student after the teacher.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.smoke:
        options.device, options.steps, options.clips, options.batch, options.captions = "cpu", 1, 2, 1, 1
        options.path_minutes, options.path_steps = 0.001, 1
        options.out = options.out or options.folder / "tiny_weights.safetensors"
    elif options.stage is None:
        parser.error("name a stage, or give --smoke")
    elif options.stage in ("autoencoder", "teacher", "student") and not options.minutes and not options.steps:
        parser.error("give --minutes or --steps")
    return options


def _clock(options: argparse.Namespace) -> Clock:
    return Clock(seconds=options.minutes * 60, steps=options.steps)


def autoencoder(options: argparse.Namespace) -> None:
    """Train the autoencoder."""
    encoder, decoder, quality = train_autoencoder(
        _clock(options),
        device=options.device,
        clips=options.clips,
        batch=options.batch,
        seed=options.seed,
        noise=options.noise,
    )
    save_modules(options.folder, "autoencoder", {"encoder": encoder, "decoder": decoder})
    print(f"autoencoder: {quality[0]:.2f} dB on unseen clips, {quality[1]:.2f} dB on their things", flush=True)
    with torch.no_grad():
        frames = painted_bytes(draw_scenes(6, options.seed + 1001), options.device)[0].float() / 255
        pairs = torch.stack([frames, decoder(encoder(frames))], dim=1).flatten(0, 1)
    save_sheet(options.folder / "autoencoder.png", pairs, ["painted", "decoded"] * 6)


def corpora(options: argparse.Namespace) -> tuple[Corpus, Corpus]:
    """Paint and encode the wide and the upright clips."""
    started = time.monotonic()
    encoder, _ = load_autoencoder(options.folder, options.device)
    seed = options.seed + 10_000 * rank()
    wide = make_corpus(encoder, options.clips, seed + 100, options.device)
    upright = make_corpus(
        encoder, max(options.clips // 8, min(options.clips, 8)), seed + 200, options.device, upright=True
    )
    print(
        f"corpus: {len(wide.latents)} and {len(upright.latents)} clips in {time.monotonic() - started:.0f} s, "
        f"latents' spread {wide.latents[:512].float().std().item():.3f}",
        flush=True,
    )
    return wide, upright


def teacher(options: argparse.Namespace) -> None:
    """Train the teacher."""
    wide, upright = corpora(options)
    start = load_teacher(options.folder, options.resume, options.device) if options.resume else None
    trained = train_teacher(
        _clock(options),
        wide,
        upright,
        device=options.device,
        batch=options.batch,
        rate=options.rate,
        seed=options.seed,
        start=start,
    )
    if rank() == 0:
        save_modules(
            options.folder, options.name or "teacher", {"transformer": trained.transformer, "text": trained.text}
        )
    if options.student_minutes:
        distil(options, trained, (wide, upright), Clock(seconds=options.student_minutes * 60))


def student(options: argparse.Namespace) -> None:
    """Train a student of the teacher."""
    trained = load_teacher(options.folder, options.resume or "teacher", options.device)
    distil(options, trained, corpora(options), _clock(options))


def distil(options: argparse.Namespace, trained: Teacher, both: tuple[Corpus, Corpus], clock: Clock) -> None:
    """Record the teacher's paths and train a student on them."""
    if options.device == "cuda":
        compile_blocks(trained.transformer)
    limit = Clock(seconds=options.path_minutes * 60)
    paths = record_paths(
        limit,
        trained,
        both,
        device=options.device,
        batch=options.batch,
        seed=options.seed,
        steps=options.path_steps,
    )
    print(f"paths: {len(paths[0].step)} and {len(paths[1].step)} in {limit.elapsed():.0f} s", flush=True)
    clock.restart()
    made = train_student(
        clock, trained, paths, form=options.format, device=options.device, batch=options.batch, seed=options.seed
    )
    save_modules(options.folder, f"student-{options.format}", {"transformer": made.transformer, "text": made.text})


def artifact(options: argparse.Namespace) -> None:
    """Write the shipped file from a student and the autoencoder's decoder."""
    made = load_teacher(options.folder, options.name or f"student-{options.format}", "cpu")
    _, decoder = load_autoencoder(options.folder, "cpu")
    sha256 = write_artifact(options.out, made, decoder) if options.out else ship(made, decoder)
    path = options.out or WEIGHTS
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256}", flush=True)


def exam(options: argparse.Namespace) -> None:
    """Have the trackers read clips of a checkpoint, and keep a sheet of some."""
    encoder, decoder = load_autoencoder(options.folder, options.device)
    name = options.name or f"student-{options.format}"
    model = load_teacher(options.folder, name, options.device)
    set_format(model.transformer, options.format)
    if options.device == "cuda":
        compile_blocks(model.transformer)
    steps = options.teacher_steps
    sampler = teacher_sampler(steps, options.guidance) if steps else student_sampler
    print(f"| {name} | captions | {' | '.join(ATTRIBUTES)} | distance |", flush=True)
    for held_out in (False, True):
        asked = set_exam(encoder, options.captions, options.seed, options.device, held_out=held_out)
        found = examine(model, encoder, decoder, asked, sampler, device=options.device, batch=options.batch)
        shares = " | ".join(f"{found.right[key]:.3f}" for key in ATTRIBUTES)
        kind = "held out" if held_out else "unseen"
        print(f"| {name} | {options.captions} {kind} | {shares} | {found.distance:.3f} |", flush=True)
        shown = [asked.captions[row] for row in found.order]
        save_sheet(options.folder / f"{name}-{'held' if held_out else 'unseen'}.jpg", found.frames, shown)


def evaluated(options: argparse.Namespace) -> None:
    """Print how often the product, with the package's weights, shows what captions say."""
    from training.evaluation import evaluate  # needs the product

    print(evaluate(options.captions, options.seed), flush=True)


STAGES = {
    "autoencoder": autoencoder,
    "teacher": teacher,
    "student": student,
    "exam": exam,
    "artifact": artifact,
    "evaluate": evaluated,
}
"""Each is a command; in the order of a whole run."""


if __name__ == "__main__":
    main()
