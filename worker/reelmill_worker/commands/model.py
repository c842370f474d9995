"""The commands `reelmill model …`: make, download, quantise and look at models. Imports torch only inside a command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from reelmill_common.errors import InvalidModel
from reelmill_common.gpus import require_profile
from reelmill_common.jobs import DEFAULT_PROFILE
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Make, download and prepare models.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Profile = Annotated[
    str, typer.Option(help=f"Model profile, one of {', '.join(PROFILES)}.", autocompletion=lambda: list(PROFILES))
]
Model = Annotated[
    Path | None, typer.Argument(help="Folder of a model in the diffusers layout. Default: where a worker looks for it.")
]


@app.command("tiny", epilog="Try: reelmill model tiny")
def tiny(
    folder: Annotated[
        Path | None, typer.Argument(help="A new folder. Default: where a worker of the tiny profile looks.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random weights.")] = 7,
    *,
    random: Annotated[bool, typer.Option("--random", help="Random weights, which show moving colours.")] = False,
) -> None:
    """Make the tiny model: the real classes with small trained weights, for machines without a GPU.

    It knows a small world: balls, cubes, cones, rings and stars that move over a floor at a time of day.

    Prints the folder.
    """
    from reelmill_worker.pipeline.prepare.tiny_model import make_tiny, make_trained_tiny  # noqa: PLC0415 - torch

    target = folder or _worker_folder("tiny")
    if random:
        make_tiny(target, seed=seed)
    else:
        make_trained_tiny(target)
    typer.echo(str(target))


@app.command("pull", epilog="Try: reelmill model pull")
def pull(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A new folder, or that of a download that was cut off. Default: where a worker looks."),
    ] = None,
    profile: Profile = DEFAULT_PROFILE,
    repo: Annotated[str, typer.Option(help="Another repository, as owner/name.")] = "",
    revision: Annotated[str, typer.Option(help="Commit to take; a branch is taken at its newest commit.")] = "main",
    *,
    as_json: Json = False,
) -> None:
    """Download a model: about 29 GB for the real one. Only JSON and safetensors files, checked by size and hash.

    Another repository is judged by its small files first: what cannot be rendered is refused before the download.

    Run the same command again to go on with a download that was cut off. Prints the commit; exits 75 when the hub does
    not answer.
    """
    repository = repo or _repository(profile)
    from reelmill_worker.pipeline.prepare.pull import pull as download  # noqa: PLC0415 - torch

    pulled = download(
        repository,
        folder or _worker_folder(profile),
        revision=revision,
        warn=lambda text: typer.echo(f"warning: {text}", err=True),
    )
    _print(pulled, "folder repo revision size_bytes model_hash", plain="revision", as_json=as_json)


@app.command("quantize", epilog="Try: reelmill model quantize")
def quantize(
    model: Model = None,
    profile: Profile = DEFAULT_PROFILE,
    scales: Annotated[
        Literal["tensor", "row"],
        typer.Option(help="One scale a weight tensor, as FP8 QAT trained them; or one a row, for weights it did not."),
    ] = "tensor",
    lora: Annotated[
        list[str] | None, typer.Option(help="LoRA file to merge first, as FILE or FILE=STRENGTH. May be repeated.")
    ] = None,
    into: Annotated[Path | None, typer.Option(help="A new model folder to write; needed with --lora.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Turn a model's transformer into e4m3 weights with scales, once: a quarter of the size, loaded ever after.

    An artifact of an older kind is made anew. The transformer in floats may be removed afterwards. With --lora, a
    changed model is written to another folder, with a hash of its own; serve it with REELMILL_MODEL_DIR. Prints the
    artifact's hash.
    """
    if lora and into is None:
        raise typer.BadParameter("--lora changes the model; name a new folder with --into")
    changes = [_lora(text) for text in lora or []]
    from reelmill_worker.pipeline.prepare.lora import Lora  # noqa: PLC0415 - torch
    from reelmill_worker.pipeline.prepare.quantization import quantize as make_artifact  # noqa: PLC0415 - torch

    artifact = make_artifact(
        model or _worker_folder(profile),
        granularity=scales,
        loras=[Lora.open(path, strength=strength) for path, strength in changes],
        into=into,
    )
    _print(artifact, "folder sha256 size_bytes quantised", plain="sha256", as_json=as_json)


@app.command("check", epilog="Try: reelmill model check --profile tiny")
def check(model: Model = None, profile: Profile = DEFAULT_PROFILE, *, as_json: Json = False) -> None:
    """Check a model without loading it: layout, configs, and every tensor's name, shape and dtype. Prints its hash."""
    from reelmill_worker.pipeline.checkpoint.weights import ModelFolder  # noqa: PLC0415 - torch

    opened = ModelFolder.open(model or _worker_folder(profile))
    _print(opened, "folder=root model_hash", plain="model_hash", as_json=as_json)


def _lora(text: str) -> tuple[Path, float]:
    file, equals, strength = text.rpartition("=")
    if not equals:
        return Path(text), 1.0
    try:
        return Path(file), float(strength)
    except ValueError:
        raise typer.BadParameter(f"--lora {text}: {strength!r} is not a number; write FILE or FILE=0.8") from None


def _worker_folder(profile: str) -> Path:
    require_profile(profile)
    return Settings.from_env(os.environ).model_folder(profile)


def _repository(profile: str) -> str:
    require_profile(profile)
    repository = PROFILES[profile].repo
    if repository is None:
        raise InvalidModel(f"profile {profile} is not downloaded but made: reelmill model tiny FOLDER")
    return repository


def _print(item: object, names: str, *, plain: str, as_json: bool) -> None:
    """Print attributes of an object as JSON, or one of them; `key=name` gives an attribute another key."""
    pairs = [name.rpartition("=") for name in names.split()]
    values = {key or name: getattr(item, name) for key, _, name in pairs}
    typer.echo(json.dumps(values, default=str) if as_json else str(values[plain]))
