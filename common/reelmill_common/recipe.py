"""Recipe and manifest of a clip: all that is needed to make it again, in the MP4's tags and in the `.json` beside it.

Workers write them; producers and other workers read them. docs/manifest.schema.json is made from these types: fields
may be added, never renamed, and a change of meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, WithJsonSchema

from reelmill_common.errors import InvalidDocument
from reelmill_common.jobs import RenderSpec, spec_from_mapping
from reelmill_common.text.untrusted_json import read_object

SCHEMA_VERSION: Final = 1

PACKAGES = ("reelmill", "torch", "diffusers", "transformers", "tokenizers", "sageattention", "triton", "av")
"""What can change the pixels or the file, when its version changes."""

T = TypeVar("T")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Seconds = Annotated[float, Field(ge=0)]
_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """How the GPU rendered: precisions, kernels, where the text encoder lives, and why."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    device: Literal["cuda", "cpu"]
    gpu: str
    linears: Literal["fp8", "int8", "bf16", "float32"]
    weight_scales: Literal["tensor", "row", "none"] = "none"
    """How weights were rounded: one scale a tensor, as FP8 QAT trains them, one a row, or not at all. Absent: before
    decision 0013."""
    attention: str
    text_encoder: str
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFacts:
    """The video encoder: codec, preset, quality, threads."""

    codec: str
    preset: str = ""
    crf: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrigin:
    """The attempt that rendered a clip."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    job_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    batch: Name
    row: Name
    attempt: Annotated[int, Field(ge=1)]
    """Number of the attempt that won."""
    claim: str = ""
    """Random word of its claim; with the number it is its fencing token. Empty: an older version rendered it."""
    farm: str = ""
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFacts:
    """What a clip's file says of its origin, beside the plain marks that every clip has."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    signature: Literal["signed", "unsigned", "failed", "off"]
    """`signed`: it has a C2PA manifest. `unsigned`: no certificate is set. `failed`: it could not be signed, and
    `REELMILL_PROVENANCE=prefer` stores it all the same. `off`: `REELMILL_PROVENANCE=off`."""
    signer: str = ""
    """Name in the certificate."""
    time_stamped: bool = False
    """Whether a time-stamp authority vouches for the time."""
    fingerprint: str = ""
    """Perceptual hashes of frames, by which a copy without marks is recognised; empty where none were taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """The clip's file."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    key: str
    """Key of the MP4, relative to the store's root."""
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=1)]
    latents_sha256: Sha256
    marks: MarkFacts | None = None
    """Absent: an older version stored it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a clip is made: the tag `comment` of its MP4."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    schema_version: Literal[1] = SCHEMA_VERSION
    job: JobOrigin
    spec: Annotated[RenderSpec, PlainValidator(spec_from_mapping, json_schema_input_type=RenderSpec)]
    """What was asked for: all that decides the pixels beside the model."""
    renderer: str = ""
    """`model`, or `fixed:SECONDS` for a test card."""
    model_hash: str
    """Names all weights and configs; `none` for a test card."""
    plan: Annotated[Mapping[str, Any], WithJsonSchema(TypeAdapter(PlanFacts).json_schema())] | None = None
    versions: Mapping[str, str] | None = None
    """Versions of what can change the pixels or the file."""
    encoder: Annotated[Mapping[str, Any], WithJsonSchema(TypeAdapter(EncoderFacts).json_schema())] | None = None
    latents_sha256: Sha256
    """Hash of the final latents: equal for equal specs on one worker class (GPU, kernels and versions)."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Recipe):
    """How a clip was made: the `.json` beside every `.mp4` in the store, written last."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    clip: ClipFacts
    seconds: Mapping[str, Seconds]
    """Seconds by stage: encode_text, denoise, decode, mux, upload."""
    gpu_s: Seconds | None = None
    """Seconds of the stages that had the GPU: all but mux and upload."""
    energy_j: Annotated[float, Field(gt=0)] | None = None
    """Joules that the whole GPU drew during these, by NVML's counter; null where it has none."""
    metadata: Mapping[str, str] | None = None
    """What the prompt file says of the row beside what to render, as it was when the clip was made."""
    submitted_at: Time | None = None
    """When the job was submitted, by the clock of the farm's Redis. With `job` it identifies one life of a job:
    after a prune, or on another farm, equal rows have equal ids. Absent: no farm made the clip."""
    written_at: Time

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; what is not known is left out, but for the energy of a GPU without a counter."""
        energy = {} if self.gpu_s is None else {"energy_j": self.energy_j}
        return Recipe.document(self) | energy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    job: JobOrigin
    submitted_at: str


def versions() -> dict[str, str]:
    """Return the versions of what is at work, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def make_manifest(
    recipe: Recipe,
    *,
    clip: ClipFacts,
    seconds: Mapping[str, float],
    gpu_s: float | None = None,
    energy_j: float | None = None,
    submitted_s: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return the JSON document that is stored beside a clip.

    Args:
        recipe: How it was made.
        clip: Its file.
        seconds: Seconds by stage.
        gpu_s: Seconds that it took of the GPU.
        energy_j: Joules that the GPU drew meanwhile.
        submitted_s: Unix seconds of the job's submission; 0 for a clip that no farm made.
        metadata: What the prompt file says of the row; part of neither the recipe nor the MP4's tags.
    """
    manifest = Manifest(
        **{item.name: getattr(recipe, item.name) for item in fields(recipe)},
        clip=clip,
        seconds=dict(seconds),
        gpu_s=gpu_s,
        energy_j=energy_j,
        metadata=dict(metadata) if metadata else None,
        submitted_at=_time_text(submitted_s) if submitted_s else None,
        written_at=_time_text(time.time()),
    )
    return (json.dumps(manifest.document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_manifest(content: bytes) -> Manifest:
    """Read a manifest from the store, which may hold anything under its key. Raises `InvalidDocument`."""
    return _read(_MANIFEST, read_object(content, "a manifest"), "a manifest")


def read_recipe(document: Mapping[str, Any], name: str) -> Recipe:
    """Read a recipe from untrusted JSON values; `name` is for the message. Raises `InvalidDocument`."""
    return _read(_RECIPE, document, name)


def origin_of(content: bytes) -> tuple[JobOrigin, float]:
    """Return the attempt that a manifest names and the Unix seconds of its job's submission; the rest is not read.

    Raises:
        InvalidDocument: It names none.
    """
    life = _read(_LIFE, read_object(content, "a manifest"), "a manifest")
    try:
        return life.job, datetime.fromisoformat(life.submitted_at).timestamp()
    except ValueError as err:
        raise InvalidDocument(f"a manifest has no time of submission: {err}") from err


def is_leftover(manifest: bytes, *, job_id: str, submitted_s: float) -> bool:
    """Whether a manifest was written for this life of a job, and not for one that was pruned, or of another farm."""
    try:
        origin, found_s = origin_of(manifest)
    except InvalidDocument:
        return False
    return (origin.job_id, _time_text(found_s)) == (job_id, _time_text(submitted_s))


def _read(kind: TypeAdapter[T], document: Mapping[str, Any], name: str) -> T:
    try:
        return kind.validate_python(document)
    except ValueError as err:  # pydantic's
        why = "; ".join(str(err).splitlines()[1:3])[:300]
        raise InvalidDocument(f"{name} is not one of ours: {why}") from err


def _time_text(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


_LIFE = TypeAdapter(_Life)
_RECIPE = TypeAdapter(Recipe)
_MANIFEST = TypeAdapter(Manifest)
