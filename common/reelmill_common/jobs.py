"""Jobs and batches: what is asked for, checked once at the boundary, with deterministic ids."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, get_args

from reelmill_common.calendar.windows import Windows
from reelmill_common.contract import STORE_FOLDERS, lane_name
from reelmill_common.errors import InvalidDocument, InvalidJob
from reelmill_common.job_fields.foreign_fields import check_foreign_fields
from reelmill_common.job_fields.limits import (
    DEFAULT_SEED,
    check_budget,
    check_choice,
    check_frames,
    check_prompt,
    check_range,
    check_seed,
    check_size,
    check_times,
    check_whole,
    profile_named,
)
from reelmill_common.job_fields.metadata import check_metadata
from reelmill_common.job_fields.whole_numbers import whole_number
from reelmill_common.text.names import slug as slug  # noqa: PLC0414 - part of what this module offers
from reelmill_common.text.prompts import clean_prompt
from reelmill_common.text.terminal_text import is_printable
from reelmill_common.text.untrusted_json import read_json

Sampler = Literal["dmd3", "unipc3"]
Decoder = Literal["tiny", "wan"]

DEFAULT_PROFILE = "fastwan-qad-fp8"

_NAMESPACE = uuid.UUID("8c5b9f6e-6f1c-5d0a-9a55-7265656c6d69")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class JobState(StrEnum):
    """Where a job stands. Only the ledger's functions move it."""

    QUEUED = "queued"
    HELD = "held"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    CANCEL_REQUESTED = "cancel_requested"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended; only a retry changes it."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Stage(StrEnum):
    """What a running job is doing. `denoise` is written with its step, as in `denoise 2/3`."""

    ENCODE_TEXT = "encode_text"
    DENOISE = "denoise"
    DECODE = "decode"
    MUX = "mux"
    UPLOAD = "upload"


DENOISING_STEPS = 3
"""Steps of each sampler: the number that the model was distilled for."""


def denoise_stage(step: int) -> str:
    """Return the name of a step, counted from 0: `denoise 1/3`."""
    return f"{Stage.DENOISE} {step + 1}/{DENOISING_STEPS}"


RENDER_STAGES = (str(Stage.ENCODE_TEXT), *map(denoise_stage, range(DENOISING_STEPS)), str(Stage.DECODE))
"""What a clip passes through on the GPU, in order."""
DELIVERY_STAGES = (str(Stage.MUX), str(Stage.UPLOAD))
"""What it passes through afterwards, beside the next clip's render; they cost no GPU."""


class BatchState(StrEnum):
    """Derived from a batch's counters and its policy."""

    ACTIVE = "active"
    PAUSED = "paused"
    SCHEDULED = "scheduled"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """One clip: everything that decides its pixels, and nothing else.

    Attributes:
        prompt: Cleaned text (see `prompts.clean_prompt`), not empty.
        seed: Noise seed, 0 to 2**63 - 1. Equal specs give equal latents on the same worker class.
        width: Pixels, a multiple of 16, on the profile's menu. 0 means the profile's default, with height.
        height: Pixels, likewise.
        frames: Clip length in frames, 4k + 1: the VAE packs four frames per latent after the first. 0: the default.
        fps: Frames a second of the file. 0 means the profile's.
        sampler: `dmd3` (what the model was distilled with) or `unipc3` (what the released CUDA examples run).
        decoder: `tiny` (TAEHV architecture, fast) or `wan` (AutoencoderKLWan, best).
        profile: Model profile, which also is the lane.

    Raises:
        InvalidJob: A field is out of range. The message names the nearest legal value.
    """

    prompt: str
    seed: int = DEFAULT_SEED
    width: int = 0
    height: int = 0
    frames: int = 0
    fps: int = 0
    sampler: Sampler = "dmd3"
    decoder: Decoder = "tiny"
    profile: str = DEFAULT_PROFILE

    def __post_init__(self) -> None:
        profile = profile_named(self.profile)
        if not self.width and not self.height:
            self._set("width", profile.default_size[0])
            self._set("height", profile.default_size[1])
        self._set("frames", self.frames or profile.default_frames)
        self._set("fps", self.fps or profile.fps)
        self._set("prompt", clean_prompt(self.prompt))
        check_prompt(self.prompt)
        check_seed(self.seed)
        check_frames(self.frames, profile)
        check_size(self.width, self.height, profile)
        check_whole("fps", self.fps)
        if not 1 <= self.fps <= 120:
            raise InvalidJob(f"fps={self.fps} is out of range; use 1 to 120 (the model was trained for {profile.fps})")
        check_choice("sampler", self.sampler, get_args(Sampler))
        check_choice("decoder", self.decoder, get_args(Decoder))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def to_json(self) -> str:
        """Return the canonical form: sorted keys, no spaces, so equal specs give equal text."""
        # Not `asdict`, which copies deeply: this is in the path of every row of a bulk submit.
        values = {name: getattr(self, name) for name in _SPEC_FIELDS}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> RenderSpec:
        """Rebuild a spec that `to_json` wrote.

        Raises:
            InvalidJob: The text is not such a JSON object, or a field is out of range.
        """
        try:
            value = read_json(text, "the job")
        except InvalidDocument as err:
            raise InvalidJob(f"a job is one JSON object, got {text[:80]!r}: {err}") from err
        return spec_from_mapping(value)

    @property
    def digest(self) -> str:
        """Hash of everything that decides the pixels: 16 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


_SPEC_FIELDS = {item.name: item for item in fields(RenderSpec)}


def spec_from_mapping(value: object) -> RenderSpec:
    """Build a spec from untrusted key-value pairs, as they come from a file or a message.

    Numbers may be written as text (CSV has nothing else; see `whole_numbers`); absent or empty values mean the default.

    Raises:
        InvalidJob: An unknown key, a value of the wrong type, or one out of range.
    """
    if not isinstance(value, Mapping):
        raise InvalidJob(f"a job is an object with a prompt, got {type(value).__name__}")
    known = _SPEC_FIELDS
    check_foreign_fields(value)
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise InvalidJob(f"unknown field {', '.join(unknown)}; known are {', '.join(known)}")
    kwargs: dict[str, Any] = {}
    for name, given in value.items():
        if given is None or given == "":
            continue
        kwargs[name] = whole_number(name, given) if known[name].type == "int" else _as_text(name, given)
    if "prompt" not in kwargs:
        raise InvalidJob("prompt is empty; give the text that the clip should show")
    return RenderSpec(**kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """A spec with its place: which batch, which row, and the id that follows from both.

    Attributes:
        batch: Name of the batch, `[a-z0-9][a-z0-9._-]{0,63}`.
        row: Key within the batch, same alphabet: the file's id column, or a name made of what it shows.
        spec: What to render.
        worker_class: Class of worker that alone may render it, as in `Batch`; empty: the batch's.
        metadata: What the prompt file says of the row besides, by name: kept beside the job, not rendered.
        others: Other keys that the row may have in its batch, if it has no id of its own: another row may have its
            name, or an earlier version may have named it. It takes the first that is free or has equal content.
    """

    batch: str
    row: str
    spec: RenderSpec
    worker_class: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    others: Sequence[str] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        check_name("batch", self.batch)
        check_name("row id", self.row)
        check_class(self.worker_class)
        check_metadata(self.metadata)

    @property
    def job_id(self) -> str:
        """UUIDv5 of (batch, row): submitting the same row again names the same job."""
        return job_id(self.batch, self.row)

    @property
    def lane(self) -> str:
        """The queue that the job waits in: one per model profile, and per class of worker that jobs ask for."""
        return lane_name(self.spec.profile, self.worker_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A submission: many jobs, one policy.

    Attributes:
        name: Key of the batch; submitting under the same name adds to it.
        priority: 0 to 9, 9 most urgent. A lower one waits while a higher one has work.
        weight: Share among its owner's batches of equal priority, 1 to 100.
        max_in_flight: Most jobs dispatched or running at once; 0 means no cap.
        owner: Who submitted it, for fair share and accounts; free text of at most 64 characters.
        source: Name of the file that a new batch is named after, without its suffix: distinguishes it from the batch of
            another file with the same name; empty: it was not named after a file.
        window: Hours in which it may run, in the form of `calendar.windows`; empty: always.
        max_failures: Failed jobs, as `10`, or their share of all, as `5%`, at which it pauses; empty: never.
        start_after: Unix seconds before which none of its jobs starts; 0: at once.
        expires_at: Unix seconds after which none of its jobs starts: those left fail as `expired`; 0: never.
        finish_by: Unix seconds by which all of it should be done, its deadline; 0: none. It changes no order: forecasts
            are compared with it, and the workers that a farm wants follow it.
        after: Names of batches whose clips must all have succeeded before it starts.
        after_any: Names of batches that must have ended, whatever the outcome.
        worker_class: Class of worker that alone may render it, such as `h100`, `sm89` or a label (`worker_classes`);
            empty: any worker of the profile.
    """

    name: str
    priority: int = 5
    weight: int = 1
    max_in_flight: int = 0
    owner: str = ""
    window: str = ""
    max_failures: str = ""
    start_after: float = 0.0
    expires_at: float = 0.0
    finish_by: float = 0.0
    after: Sequence[str] = ()
    after_any: Sequence[str] = ()
    worker_class: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        check_name("batch", self.name)
        if self.name in STORE_FOLDERS:
            raise InvalidJob(
                f"batch {self.name!r} would take a folder that the store needs; use for example {self.name + '-1'!r}"
            )
        check_class(self.worker_class)
        check_range("priority", self.priority, 0, 9)
        check_range("weight", self.weight, 1, 100)
        check_range("max_in_flight", self.max_in_flight, 0, 100_000)
        if len(self.owner) > 64:
            raise InvalidJob(f"owner has {len(self.owner)} characters; use at most 64")
        if not is_printable(self.owner):
            raise InvalidJob(
                f"owner {self.owner!r} holds characters that cannot be seen; use letters, digits and signs"
            )
        if self.window:
            Windows.parse(self.window)
        check_budget(self.max_failures)
        check_times(self.start_after, self.expires_at, self.finish_by)
        for name in (*self.after, *self.after_any):
            check_name("batch", name)
            if name == self.name:
                raise InvalidJob(f"batch {name!r} cannot wait for itself; name another batch")


def job_id(batch: str, row: str) -> str:
    """Return the deterministic id of a row: UUIDv5 of batch and row key."""
    return str(uuid.uuid5(_NAMESPACE, f"{batch}\n{row}"))


def check_name(what: str, name: str) -> None:
    """Refuse a name that is not safe as a Redis key part, a file name and an object key part at once.

    Raises:
        InvalidJob: The message has the alphabet and the name.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidJob(
            f"{what} {name[:80]!r} is not usable; use 1 to 64 of a-z 0-9 . _ - starting with a letter or digit, "
            f"without '..' (for example {slug(name)!r})"
        )


def check_class(name: str) -> None:
    """Refuse what cannot be a class of worker; empty means any. Raises `InvalidJob`."""
    if name:
        check_name("worker class", name)


def _as_text(name: str, given: object) -> str:
    if not isinstance(given, str):
        raise InvalidJob(f"{name}={str(given)[:40]!r} is not text")
    return given
